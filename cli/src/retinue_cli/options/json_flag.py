"""The option ``--json``, which means the same in every command that has it."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def json_flag(command: Command) -> Command:
    """Give a command the flag ``--json``: standard output is then one JSON value, and no more.

    The command takes it as ``as_json``.
    """
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)
