"""A runner with a detector that does what a test says, and everything that it needs."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from retinue_history import History
from retinue_sdk import InvalidImageError
from retinue_sdk.plugins.manager import Filter
from retinue_workers.detectors.call import Call
from retinue_workers.detectors.filters import Filters
from retinue_workers.detectors.runner import DetectorRunner
from retinue_workers.detectors.suspects import Successes
from retinue_workers.intake.prefetch import Prefetch
from retinue_workers.limits.budget import Budget
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.settings.settings import TierPrice

from fakes.detectors import AnyScripted
from fakes.history import MemoryHistory


@dataclass
class RunnerRig:
    """A runner, and what surrounds it.

    Attributes:
        runner: The runner.
        gate: What it closes.
        budget: What it reserves from.
    """

    runner: DetectorRunner
    gate: ReceiveGate
    budget: Budget


@asynccontextmanager
async def running(
    detector: AnyScripted,
    *,
    timeout: float = 20.0,
    usd: Decimal | None = None,
    filters: Sequence[Filter] = (),
    prefetch_images: int = 100,
    history: History | None = None,
) -> AsyncIterator[RunnerRig]:
    """Run a detector that costs a dollar a unit, of which ``usd`` a month may be spent.

    Only calls that the detector holds exceed ``timeout``; others may be slow, as the machine is.
    """
    gate, threads = ReceiveGate(), DaemonThreads("history", 1)
    budget = Budget(
        history or MemoryHistory(),
        threads,
        gate,
        prices={detector.name: (TierPrice(usd=Decimal(1)),)},
        budgets={} if usd is None else {detector.name: usd},
    )
    prefetch = Prefetch(threads=2, max_images=prefetch_images)
    runner = DetectorRunner(
        detector,
        timeout_seconds=timeout,
        gate=gate,
        budget=budget,
        prefetch=prefetch,
        filters=Filters(filters),
        successes=Successes(),
    )
    time_out = runner._time_out

    def time_out_if_held(call: Call) -> None:
        if any(detector.notes.holds(entry.task.image) for entry in call.entries):
            time_out(call)
        else:
            call._timer = asyncio.get_running_loop().call_later(0.01, time_out_if_held, call)

    runner._time_out = time_out_if_held
    try:
        await runner.start()
        yield RunnerRig(runner, gate, budget)
    finally:
        detector.notes.release()
        runner.stop_calling()
        await runner.close(time.monotonic() + 5)
        prefetch.close()
        threads.close()


def said(value: Any) -> str:
    """Return a short word for the value of an answer: ``ok``, an error's code, or its class."""
    if isinstance(value, InvalidImageError):
        return value.code
    return type(value).__name__ if isinstance(value, BaseException) else "ok"
