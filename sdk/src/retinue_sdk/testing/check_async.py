"""Checks that an ``AsyncDetector`` doesn't block the event loop that it shares with the worker."""

import asyncio
import time
from typing import Any

from retinue_sdk.detection import Findings
from retinue_sdk.detector import AsyncDetector, Input
from retinue_sdk.errors import DetectorError
from retinue_sdk.image import Image
from retinue_sdk.testing.bench import Bench, CheckFailedError
from retinue_sdk.testing.check import Checks, Suite
from retinue_sdk.testing.compare import expect_same

CHECKS = Checks()

MAX_BLOCKED_SECONDS = 0.1
"""Maximum time for which a call may block other coroutines."""

ROUNDS = 3
"""How often each photograph is shown. One call without blocking suffices: the first may import
modules, and other programs may keep a busy machine from running the loop.
"""

CANCEL_SECONDS = 10.0
"""Maximum time until a cancelled call ends."""

_HEARTBEAT_SECONDS = 0.005


@CHECKS.add(
    "event-loop-runs",
    f"Never blocks the event loop for longer than {MAX_BLOCKED_SECONDS * 1_000:.0f} ms",
    remedy="await every wait; run computing and blocking code with asyncio.to_thread(), or write"
    " a Detector instead",
    suite=Suite.ASYNC,
)
def loop_runs(bench: Bench) -> None:
    """Measure the longest pause of a heartbeat coroutine while ``detect`` runs."""
    detector = _async_detector(bench)
    for number in range(len(bench.subject.photographs)):
        pauses = [
            bench.run(_longest_pause(detector, _loaded(bench, number))) for _ in range(ROUNDS)
        ]
        if min(pauses) > MAX_BLOCKED_SECONDS:
            raise CheckFailedError(
                f"photograph {number} blocked the event loop for {min(pauses) * 1_000:.0f} ms"
            )


@CHECKS.add(
    "cancellation-ends-call",
    "Ends a cancelled call with CancelledError, and gives the same answers to later calls",
    remedy="don't catch asyncio.CancelledError, and release a call's resources with finally or "
    "async with",
    suite=Suite.ASYNC,
)
def cancellation(bench: Bench) -> None:
    """Cancel calls at the first await, and half-way."""
    detector = _async_detector(bench)
    began = time.monotonic()
    before = bench.single(bench.photographs()[0])
    usual_seconds = time.monotonic() - began
    for delay in (0.0, usual_seconds / 2):
        bench.run(_cancel(detector, bench.photographs()[0], delay))
    expect_same(before, bench.single(bench.photographs()[0]), "before and after a cancelled call")


def _async_detector(bench: Bench) -> AsyncDetector[Any]:
    detector = bench.detector
    if not isinstance(detector, AsyncDetector):
        raise TypeError(f"{detector!r} isn't an AsyncDetector")
    return detector


def _loaded(bench: Bench, number: int) -> Image:
    """Return a photograph with the declared input loaded, as in a worker."""
    image = bench.photographs()[number]
    match bench.capabilities.input:
        case Input.BYTES:
            image.read()
        case Input.PIXELS:
            image.pixels()
    return image


async def _longest_pause(detector: AsyncDetector[Any], image: Image) -> float:
    """Return the longest time in seconds that other coroutines waited during a call."""
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            began = time.monotonic()
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            longest = max(longest, time.monotonic() - began - _HEARTBEAT_SECONDS)

    heart = asyncio.create_task(beat())
    await asyncio.sleep(0)
    try:
        await detector.detect(image)
    except DetectorError:
        pass  # other checks test the answer
    finally:
        await asyncio.sleep(_HEARTBEAT_SECONDS)
        heart.cancel()
    return longest


async def _cancel(detector: AsyncDetector[Any], image: Image, delay_seconds: float) -> None:
    """Cancel a call.

    Raises:
        CheckFailedError: It doesn't end, or raises another error than ``CancelledError``.
    """
    call: asyncio.Task[Findings] = asyncio.ensure_future(detector.detect(image))
    await asyncio.sleep(delay_seconds)
    if call.done():
        return  # too fast to be cancelled
    call.cancel()
    await asyncio.wait([call], timeout=CANCEL_SECONDS)
    if not call.done():
        raise CheckFailedError(f"a cancelled call did not end within {CANCEL_SECONDS:g} seconds")
    error = None if call.cancelled() else call.exception()
    if error is not None:
        raise CheckFailedError(f"a cancelled call raised {type(error).__name__}: {error}")
