"""The option ``--json``."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def json_flag(command: Command) -> Command:
    """Add the flag ``--json`` to a command. Standard output is then one JSON value.

    The parameter is ``as_json``.
    """
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)
