"""The options that choose failed runs, the same for the commands that list and replay them."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from retinue_workers.cli.moment import Moment

F = TypeVar("F", bound=Callable[..., Any])


def failure_options(command: F) -> F:
    """Give a command the options; it takes them as ``**selected`` for ``Failures``."""
    for option in reversed(
        (
            click.option("--detector", help="Only runs of this detector."),
            click.option("--error-code", help="Only runs that failed so; docs/errors.md."),
            click.option("--since", type=Moment(), help="Only from then on: 2026-01-31, or 7d."),
            click.option("--until", type=Moment(), help="Only before then."),
            click.option(
                "--prefix",
                metavar="S3_URI",
                callback=_split,
                expose_value=False,
                help="Only images under s3://bucket/prefix.",
            ),
            click.option(
                "--where",
                "condition",
                metavar="SQL",
                help="Only runs for which this holds, over the columns of failed_runs.",
            ),
        )
    ):
        command = option(command)
    return command


def _split(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """The bucket and the prefix, as parameters of their own."""
    bucket, prefix = (None, "") if value is None else split_uri(value, param, ctx)
    ctx.params["bucket"], ctx.params["prefix"] = bucket, prefix


def split_uri(
    uri: str, param: click.Parameter | None = None, ctx: click.Context | None = None
) -> tuple[str, str]:
    """The bucket and the rest of an ``s3://bucket/prefix`` URI.

    Raises:
        click.BadParameter: It is none.
    """
    parts = re.fullmatch(r"s3://([^/]+)(?:/(.*))?", uri, re.DOTALL)
    if parts is None:
        raise click.BadParameter(f"{uri!r} is not s3://bucket/prefix", ctx, param)
    return parts[1], parts[2] or ""
