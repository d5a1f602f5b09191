"""Waiting for a condition, so that no test depends on how fast the machine is."""

import asyncio
import time
from collections.abc import Callable
from threading import enumerate as threads


def eventually(
    condition: Callable[[], object], *, within_seconds: float = 15.0, what: str = ""
) -> None:
    """Return as soon as ``condition`` holds; fail if it does not in time."""
    deadline = time.monotonic() + within_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_seconds} s: {what or condition}"
        time.sleep(0.005)


async def until(
    condition: Callable[[], object], *, within_seconds: float = 15.0, what: str = ""
) -> None:
    """Do what ``eventually`` does while the event loop goes on."""
    deadline = time.monotonic() + within_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_seconds} s: {what or condition}"
        await asyncio.sleep(0.002)


async def settle(turns: int = 20) -> None:
    """Let everything happen that needs no time, before a test says that nothing happened."""
    for _ in range(turns):
        await asyncio.sleep(0)


def worker_threads() -> list[str]:
    """Return names of the living threads that a worker started."""
    return [thread.name for thread in threads() if thread.name.startswith("retinue-")]
