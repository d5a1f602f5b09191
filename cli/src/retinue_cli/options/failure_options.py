"""Options that select failed runs, for the commands that list and replay them."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from retinue_sdk import S3Uri

from retinue_cli.options.s3_uri_type import S3UriType
from retinue_cli.options.timestamp import SINCE, UNTIL

F = TypeVar("F", bound=Callable[..., Any])


def failure_options(command: F) -> F:
    """Add the options to a command, with the parameters ``**selected`` for ``Failures``."""
    for option in reversed(
        (
            click.option("--detector", help="Only runs of this detector."),
            click.option(
                "--error-code", help="Only runs with this error code; see docs/errors.md."
            ),
            SINCE,
            UNTIL,
            click.option(
                "--prefix",
                type=S3UriType(),
                callback=_split,
                expose_value=False,
                help="Only images under s3://bucket/prefix.",
            ),
            click.option(
                "--where",
                "condition",
                metavar="SQL",
                help="Only runs that meet this condition on the columns of failed_runs.",
            ),
        )
    ):
        command = option(command)
    return command


def _split(ctx: click.Context, param: click.Parameter, value: S3Uri | None) -> None:
    """Split a URI into the parameters bucket and prefix."""
    del param
    ctx.params["bucket"] = None if value is None else value.bucket
    ctx.params["prefix"] = "" if value is None else value.key
