"""Telling observers of committed runs."""

import asyncio

import orjson
import structlog
from retinue_history import RunRecord
from retinue_sdk import BoundingBox, Detection, ImageReference, Run
from retinue_sdk.plugins.manager import Plugins

from retinue_workers.limits.threads import DaemonThreads

log = structlog.get_logger(__name__)

QUEUE_SIZE = 1_000
"""Most runs that the observers have not been told of yet; then commits wait for them."""

FULL_SECONDS = 10.0
"""How long a commit waits for the observers before it goes on without them."""


class Observers:
    """Tells plugins of committed runs, one after the other, on a thread of their own.

    Slow observers slow the worker down. One that hangs does not stop it: runs that it was not told
    of are in the history.

    Args:
        plugins: The plugins.
    """

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._threads = DaemonThreads("observers", 1)
        self._queue: asyncio.Queue[Run] = asyncio.Queue(QUEUE_SIZE)
        self._is_behind = False

    @property
    def has_observers(self) -> bool:
        """Return whether any plugin observes runs."""
        return self._plugins.observed

    async def put(self, run: Run) -> None:
        """Have the observers told of a run after all runs before it."""
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
        """Tell the observers, run by run, until cancelled."""
        while True:
            run = await self._queue.get()
            try:
                await self._threads.run(self._plugins.notify, run)
            finally:
                self._queue.task_done()

    async def drain(self, timeout_seconds: float) -> None:
        """Wait until the observers are told of everything, if that does not take too long."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._queue.join()
        except TimeoutError:
            log.error("observer_queue_full", waiting=self._queue.qsize())
        self._threads.close()


def as_run(record: RunRecord, reference: ImageReference) -> Run:
    """Return a recorded run as plugins see it."""
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
            )
            for found in record.detections
        ),
        error_code=record.error_code,
        error_message=record.error_message,
        price_usd=record.price_usd,
    )
