"""Telling observers of committed runs."""

from collections.abc import Callable
from queue import Full, Queue
from threading import Thread

import structlog
from retinue_history import RunRecord
from retinue_sdk import BoundingBox, Detection, ImageReference, Run

log = structlog.get_logger(__name__)

MOST_WAITING = 1_000
"""Most runs that observers have not been told of yet; then commits wait for the observers."""

PATIENCE_SECONDS = 10.0
"""How long they wait before they go on without."""


class Observers:
    """Tells plugins of committed runs, one after the other, on a thread of its own.

    Slow observers slow the worker down; one that hangs does not stop it: it is left behind, and the
    runs that it was not told of are in the history.

    Args:
        tell: Tells all observers of one run; does not raise.
    """

    def __init__(self, tell: Callable[[Run], None]) -> None:
        """Tell nothing yet."""
        self._tell = tell
        self._waiting: Queue[Run | None] = Queue(MOST_WAITING)
        self._left_behind = False
        self._thread = Thread(target=self._work, name="observers", daemon=True)

    def start(self) -> None:
        """Tell from now on."""
        self._thread.start()

    def put(self, run: Run) -> None:
        """Have the observers told, as soon as they have heard of all runs before."""
        try:
            self._waiting.put(run, timeout=0.001 if self._left_behind else PATIENCE_SECONDS)
        except Full:
            if not self._left_behind:
                log.error("observers_left_behind", waiting=MOST_WAITING)
            self._left_behind = True
        else:
            self._left_behind = False

    def stop(self, timeout_seconds: float) -> None:
        """Tell what is left to tell, if that does not take too long."""
        if not self._thread.is_alive():
            return
        try:
            self._waiting.put(None, timeout=timeout_seconds)
        except Full:
            pass
        else:
            self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            log.error("observers_left_behind", waiting=self._waiting.qsize())

    def _work(self) -> None:
        while (run := self._waiting.get()) is not None:
            self._tell(run)


def as_run(record: RunRecord, reference: ImageReference) -> Run:
    """The SDK's view of a recorded run."""
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
                found.attributes,
            )
            for found in record.detections
        ),
        error_code=record.error_code,
        error_message=record.error_message,
        price_usd=record.price_usd,
    )
