"""The option ``--json``."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, TypeVar

import click

Say: TypeAlias = Callable[[str], None]
"""Prints a line for people."""

Command = TypeVar("Command", bound=Callable[..., Any])


def json_flag(command: Command) -> Command:
    """Add the flag ``--json`` to a command. Standard output is then one JSON value.

    The parameter is ``as_json``.
    """
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def say_beside(*, as_json: bool) -> Say:
    """Return a function that prints lines for people, on standard error if the output is JSON."""
    return partial(click.echo, err=as_json)
