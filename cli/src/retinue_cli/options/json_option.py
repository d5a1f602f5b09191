"""Options of detectors, given as JSON on the command line."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def json_options(command: Command) -> Command:
    """Give a command the option ``--options``, a JSON object such as ``{"threshold": 0.3}``."""
    return click.option(
        "--options",
        metavar="JSON",
        default="{}",
        callback=_parse,
        help="The detector's options, such as '{\"threshold\": 0.3}'.",
    )(command)


def _parse(ctx: click.Context, param: click.Parameter, value: str) -> dict[str, Any]:
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(
            f'must be JSON such as {{"threshold": 0.3}}: {error}', ctx, param
        ) from error
    if not isinstance(parsed, dict):
        raise click.BadParameter(
            f'must be a JSON object such as {{"threshold": 0.3}}, not {value}', ctx, param
        )
    return parsed
