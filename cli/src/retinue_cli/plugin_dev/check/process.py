"""Check a detector in separate processes, and report any crash or hang."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from retinue_sdk import ConfigurationError
from retinue_sdk.testing import CHECKS, Check, CheckResult, Report
from retinue_workers.detectors.isolation.child_process import how_it_ended

from retinue_cli.plugin_dev.check import child
from retinue_cli.plugin_dev.check.request import (
    CheckMessage,
    CheckRequest,
    DetectorMade,
    DetectorRefused,
)

SILENCE_SECONDS = 20.0
"""Seconds without a heartbeat, in addition to the longest call, after which a process hangs.
Heartbeats stop if native code keeps Python's lock.
"""

LOADING_SECONDS = 120.0
"""Seconds for starting Python and importing Retinue."""

MAX_LOST = 3
"""Consecutive checks that hang or crash, after which the others are skipped."""

_LOADING = (
    "the process that loads the plugins and makes {name} is gone: {why}; the output above "
    "names the plugin"
)

_GONE = "the detector took its process with it"

_spawn = multiprocessing.get_context("spawn")


def check_detector(
    request: CheckRequest,
    *,
    on_made: Callable[[DetectorMade], None],
    on_result: Callable[[CheckResult], None],
    silence_seconds: float = SILENCE_SECONDS,
) -> Report:
    """Apply every check. If a process ends, the next check gets a new one.

    Args:
        request: The detector and how to check it.
        on_made: Called once, when the detector is created.
        on_result: Called with each result.
        silence_seconds: Allowed silence of a process in addition to the longest call.

    Raises:
        ConfigurationError: The detector can't be created. The message has the reason.
    """
    results: list[CheckResult] = []
    first: DetectorMade | None = None

    def keep(result: CheckResult) -> None:
        results.append(result)
        on_result(result)

    while len(results) < len(CHECKS) and not _hopeless(results, request):
        began = time.monotonic()
        for message in _heard(request, len(results), request.timeout_seconds + silence_seconds):
            match message:
                case DetectorRefused(reason):
                    raise ConfigurationError(reason)
                case DetectorMade() if first is None:
                    first = message
                    on_made(message)
                case CheckResult():
                    keep(message)
                    began = time.monotonic()
                case str() if first is None:
                    raise ConfigurationError(_LOADING.format(name=request.detector, why=message))
                case str() if len(results) < len(CHECKS) and not _hopeless(results, request):
                    keep(_failed(CHECKS[len(results)], message, time.monotonic() - began))
            if _hopeless(results, request):
                break
    for check in CHECKS[len(results) :]:
        why = f"not tried: the {MAX_LOST} checks before it hung or crashed"
        keep(CheckResult(check.id, check.meaning, "skipped", why, 0.0))
    return Report(request.detector, first.version if first else "unknown", tuple(results))


def _heard(
    request: CheckRequest, first: int, patience_seconds: float
) -> Iterator[CheckMessage | str]:
    """Yield a process's messages, and finally how it ended."""
    with _process(request, first) as (connection, process):
        try:
            patience = max(patience_seconds, LOADING_SECONDS)
            while connection.poll(patience):
                yield connection.recv()
                patience = patience_seconds
        except (EOFError, OSError):
            process.join(patience_seconds)
            yield how_it_ended(process.exitcode)
        else:
            yield f"it was silent for {patience:g} seconds: native code keeps Python's lock"


@contextmanager
def _process(request: CheckRequest, first: int) -> Iterator[tuple[Connection, SpawnProcess]]:
    """Start a process that applies the checks from number ``first`` on. Kill it at the end."""
    ours, theirs = _spawn.Pipe(duplex=False)
    process = _spawn.Process(target=child.main, args=(request, first, theirs, os.getpid()))
    process.start()
    theirs.close()
    try:
        yield ours, process
    finally:
        process.kill()
        process.join()
        ours.close()


def _failed(check: Check, why: str, seconds: float) -> CheckResult:
    message = (
        f"{check.id}: {_GONE}: {why}\n"
        f"  expected: {check.meaning}\n"
        "  remedy: find the crash in the output above, or run the detector isolated, so "
        "that it takes no worker with it (docs/isolation.md)"
    )
    return CheckResult(check.id, check.meaning, "failed", message, seconds)


def _hopeless(results: Sequence[CheckResult], request: CheckRequest) -> bool:
    """Return whether the last checks all hung or crashed, so that others would, too."""
    last = results[-MAX_LOST:]
    return len(last) == MAX_LOST and all(
        result.outcome == "failed"
        and (_GONE in result.message or result.seconds >= request.timeout_seconds)
        for result in last
    )
