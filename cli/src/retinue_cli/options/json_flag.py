"""The option ``--json``."""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
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


@contextmanager
def plugins_print_beside(*, as_json: bool) -> Iterator[None]:
    """Send to standard error what plugins print inside the block, if the output is JSON.

    This includes native code and child processes.
    """
    if not as_json:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        ctypes.CDLL(None).fflush(None)  # native code's buffer
        os.dup2(kept, 1)
        os.close(kept)
