"""Waiting for a condition, so that no test depends on how fast the machine is."""

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


def worker_threads() -> list[str]:
    """Names of the living threads that a worker started."""
    roles = ("committer", "consumer", "heartbeat", "loader-", "observers")
    endings = ("-work", "-watch", "-start")
    return [
        thread.name
        for thread in threads()
        if thread.name.startswith(roles) or thread.name.endswith(endings)
    ]
