"""The outcome of an attempt, and the end of a delivery."""

from collections.abc import Callable

import structlog
from retinue_history import RunRecord

from retinue_workers.attempt import Attempt
from retinue_workers.detectors.retry_policy import HandBack
from retinue_workers.intake.prefetch import Loader
from retinue_workers.work import Delivery

log = structlog.get_logger(__name__)


class Settlement:
    """Takes outcomes from the lanes; completes a delivery when its last attempt is settled.

    Args:
        loader: Told that an image is used once less.
        complete: Given each delivery of which nothing is open any more.
    """

    def __init__(self, loader: Loader, complete: Callable[[Delivery], None]) -> None:
        """Wait for outcomes."""
        self._loader = loader
        self._complete = complete

    def park(self, attempt: Attempt) -> None:
        """Take back an attempt's room among the loaded images: it waits to be made again.

        Its detector fetches the image anew then, on its own thread.
        """
        if not attempt.parked:
            attempt.parked = True
            self._loader.release(attempt.image)
        self._loader.forget(attempt.image)

    def settle(self, attempt: Attempt, outcome: RunRecord | HandBack) -> None:
        """Take one attempt's outcome. What is not recorded sends the message back to the queue."""
        if not attempt.parked:
            self._loader.release(attempt.image)
        run: RunRecord | None = None
        if isinstance(outcome, RunRecord):
            run = outcome
        else:
            attempt.delivery.hand_back(outcome.after_seconds)
            log.warning(
                "handed_back",
                image_id=str(attempt.key.image_id),
                detector=attempt.key.detector,
                receive_count=attempt.delivery.message.receive_count,
                after_seconds=outcome.after_seconds,
                reason=outcome.reason,
            )
        if attempt.delivery.settle(run, attempt.key.image_id, attempt.image.size_px):
            self._complete(attempt.delivery)
