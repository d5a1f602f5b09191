"""What one detector answered, as records of runs."""

from datetime import datetime
from functools import partial

import structlog
from retinue_history import RunRecord
from retinue_sdk import AnyDetector, Findings
from retinue_sdk.errors import format_error

from retinue_workers.attempt import Attempt
from retinue_workers.detectors import run_record
from retinue_workers.detectors.retry_policy import Fail
from retinue_workers.limits.budget import Spending

log = structlog.get_logger(__name__)


class RunRecords:
    """Makes the records of a detector's runs.

    Args:
        detector: Asked for its model's version.
        spending: What the runs cost.
        max_detections: Most detections that one image may have.
        max_response_bytes: Largest raw response, in bytes.
    """

    def __init__(
        self,
        detector: AnyDetector,
        spending: Spending,
        *,
        max_detections: int,
        max_response_bytes: int,
    ) -> None:
        self._detector = detector
        self._charge = partial(spending.charges, detector.name)
        self._max_detections = max_detections
        self._max_response_bytes = max_response_bytes

    def success(
        self, attempt: Attempt, findings: Findings, started_at: datetime, duration_ms: float
    ) -> RunRecord:
        """The run of a detector that looked; a failed one if what it says cannot be recorded."""
        try:
            return run_record.success(
                attempt,
                findings,
                model_version=self._detector.model_version,
                charge=self._charge,
                started_at=started_at,
                duration_ms=duration_ms,
                max_detections=self._max_detections,
                max_response_bytes=self._max_response_bytes,
            )
        except run_record.InvalidResultError as error:
            reason = str(error)
        except Exception as error:  # its model_version
            log.exception("answer_unreadable", detector=self._detector.name, kind="Findings")
            reason = format_error(error)
        fail = Fail("invalid_result", reason, retryable=True)
        return self.failure(attempt, fail, started_at, duration_ms)

    def failure(
        self, attempt: Attempt, fail: Fail, started_at: datetime, duration_ms: float
    ) -> RunRecord:
        """The run of a detector that could not look."""
        return run_record.failure(
            attempt, fail, charge=self._charge, started_at=started_at, duration_ms=duration_ms
        )
