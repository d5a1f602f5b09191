"""Turn a detector's answer into the run to record."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol, TypeAlias

import structlog
from retinue_history import Charge, RunKey, RunRecord, skip_event_id
from retinue_sdk import AsyncDetector, Findings, ImageReference, Input, JobDetector
from retinue_sdk.errors import format_error

from retinue_workers.detectors.bill import billed_units
from retinue_workers.detectors.encoding import (
    EncodedFindings,
    FindingsEncoder,
    InvalidResultError,
    storable,
)
from retinue_workers.detectors.retry_policy import Answer, Fail
from retinue_workers.detectors.runner import BlockingDetector
from retinue_workers.limits.budget import Budget

log = structlog.get_logger(__name__)

MAX_MESSAGE_CHARACTERS = 2_000
"""Maximum length of an error message in a run. The log has the whole message."""


class Recordable(Protocol):
    """The part of a task, or of a job, that a run repeats."""

    billed_units: Decimal

    @property
    def key(self) -> RunKey:
        """Return the run key."""

    @property
    def event_id(self) -> str:
        """Return the id of the event that asked for the run."""

    @property
    def reference(self) -> ImageReference:
        """Return the object version."""

    @property
    def is_truncated(self) -> bool:
        """Return whether a part of the image is missing."""


Described: TypeAlias = AsyncDetector[Any] | BlockingDetector | JobDetector[Any]
"""A detector that reports the version of its model."""


@dataclass(frozen=True, slots=True)
class RunRecorder:
    """Creates runs from answers.

    Attributes:
        budget: Computes the runs' prices.
        encoder: Checks and encodes findings.
    """

    budget: Budget
    encoder: FindingsEncoder

    def success(
        self,
        task: Recordable,
        answer: Answer,
        findings: Findings | EncodedFindings,
        detector: Described,
        detector_input: Input,
    ) -> RunRecord:
        """Return the run of a successful call.

        It is a failed run if the answer can't be recorded.
        """
        try:
            if isinstance(findings, EncodedFindings):
                encoded = findings
            else:
                encoded = self.encoder.encode(findings, detector.model_version)
        except InvalidResultError as error:
            fail = Fail("invalid_result", str(error), retryable=True)
        except BaseException as error:  # the model's version comes from the plugin's code
            log.exception("detector_result_invalid", detector=task.key.detector)
            fail = Fail("invalid_result", format_error(error), retryable=True)
        else:
            return self._succeeded(task, answer, encoded, detector_input)
        task.billed_units += billed_units(findings)  # it was billed, although it can't be recorded
        return self.failure(task, answer, fail)

    def failure(self, task: Recordable, answer: Answer, fail: Fail) -> RunRecord:
        """Return the run of a failed call, with its cost."""
        charges = self.budget.charges(
            task.key.detector, task.billed_units, answer.started_at, answer.images
        )
        return RunRecord(
            key=task.key,
            event_id=task.event_id,
            outcome="failed",
            retryable=fail.retryable,
            started_at=answer.started_at,
            duration_ms=answer.duration_ms,
            error_code=storable(fail.code)[:100],
            error_message=storable(fail.message)[:MAX_MESSAGE_CHARACTERS],
            billed_units=task.billed_units,
            price_usd=_price_usd(charges),
            charges=charges,
        )

    def skip(self, task: Recordable, code: str, reason: str) -> RunRecord:
        """Return a skipped run, with the reason and the saved amount."""
        return RunRecord(
            key=task.key,
            event_id=skip_event_id(task.event_id),
            outcome="skipped",
            retryable=True,
            started_at=datetime.now(UTC),
            duration_ms=0.0,
            error_code=code,
            error_message=storable(reason)[:MAX_MESSAGE_CHARACTERS],
            saved_usd=self.budget.unit_usd(task.key.detector),
        )

    def _succeeded(
        self, task: Recordable, answer: Answer, encoded: EncodedFindings, detector_input: Input
    ) -> RunRecord:
        units = task.billed_units + encoded.billed_units
        charges = self.budget.charges(task.key.detector, units, answer.started_at, answer.images)
        return RunRecord(
            key=task.key,
            event_id=task.event_id,
            outcome="succeeded",
            retryable=False,
            started_at=answer.started_at,
            duration_ms=answer.duration_ms,
            model_version=encoded.model_version,
            billed_units=units,
            price_usd=_price_usd(charges),
            raw_response=encoded.raw_response,
            truncated=task.is_truncated,
            detections=encoded.detections,
            charges=charges,
            read_by_key=detector_input is Input.REFERENCE and task.reference.version_id is None,
        )


def _price_usd(charges: Sequence[Charge]) -> Decimal:
    return sum([charge.price_usd for charge in charges], Decimal(0))
