"""The event loop that tests run on: the worker's own kind."""

import asyncio
import warnings
from collections.abc import Coroutine

import uvloop

COROUTINE_SECONDS = 60.0
"""How long a test that is a coroutine may take; pytest-timeout cannot interrupt uvloop."""


def run(test: Coroutine[object, object, object]) -> None:
    """Run a coroutine on a loop of its own, and report connections that it leaves open."""
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    try:
        runner.run(asyncio.wait_for(test, COROUTINE_SECONDS))
    finally:
        # uvloop warns before it closes a connection. If the warning is an error, it doesn't close
        # the connection, and then waits for it without end.
        with warnings.catch_warnings(record=True) as unclosed:
            warnings.simplefilter("always")
            runner.close()
    for warning in unclosed:
        warnings.warn(warning.message, stacklevel=2)
