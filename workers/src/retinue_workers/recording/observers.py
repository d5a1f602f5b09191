"""Call observers of committed runs."""

import asyncio
from functools import cached_property

import orjson
import structlog
from retinue_history import RunRecord
from retinue_sdk import BoundingBox, Detection, ImageReference, Run
from retinue_sdk.plugins.manager import Plugins

from retinue_workers.limits.threads import DaemonThreads

log = structlog.get_logger(__name__)

QUEUE_SIZE = 1_000
"""Maximum number of runs that wait for observers. Then commits wait for the observers."""

FULL_SECONDS = 10.0
"""How long a commit waits for observers before it continues without them."""


class Observers:
    """Calls plugins for committed runs, one after the other, on a separate thread.

    Slow observers slow the worker down. One that hangs doesn't stop it. The history has all runs
    that observers missed.

    Args:
        plugins: The plugins.
    """

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._threads = DaemonThreads("observers", 1)
        self._queue: asyncio.Queue[Run] = asyncio.Queue(QUEUE_SIZE)
        self._is_behind = False

    @cached_property
    def has_observers(self) -> bool:
        """Return whether any plugin observes runs. Plugins decide that when the worker starts."""
        return self._plugins.observed

    async def put(self, run: Run) -> None:
        """Add a run to the queue of the observers."""
        try:
            async with asyncio.timeout(0.0 if self._is_behind else FULL_SECONDS):
                await self._queue.put(run)
        except TimeoutError:
            if not self._is_behind:
                log.error("observer_queue_full", waiting=QUEUE_SIZE)
            self._is_behind = True
        else:
            self._is_behind = False

    async def run(self) -> None:
        """Call the observers, run by run, until cancelled."""
        while True:
            run = await self._queue.get()
            try:
                await self._threads.run(self._plugins.notify, run)
            finally:
                self._queue.task_done()

    async def drain(self, timeout_seconds: float) -> None:
        """Wait until the observers have processed all runs, within a time limit."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._queue.join()
        except TimeoutError:
            log.error("observer_queue_full", waiting=self._queue.qsize())
        self._threads.close()


def as_run(record: RunRecord, reference: ImageReference) -> Run:
    """Return a recorded run in the form that plugins receive."""
    return Run(
        image=reference,
        detector=record.key.detector,
        detector_version=record.key.detector_version,
        fingerprint=record.key.fingerprint,
        model_version=record.model_version,
        started_at=record.started_at,
        duration_ms=record.duration_ms,
        detections=tuple(
            Detection(
                found.kind,
                found.label,
                found.confidence,
                None if found.box is None else BoundingBox(*found.box),
                orjson.loads(found.attributes),
                found.start_ms,
                found.end_ms,
                found.track,
            )
            for found in record.detections
        ),
        error_code=record.error_code,
        error_message=record.error_message,
        price_usd=record.price_usd,
    )
