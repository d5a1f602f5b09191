"""Apply every check to a detector, and report the results."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Literal

from retinue_sdk.testing.bench import Bench, CheckFailedError
from retinue_sdk.testing.check import Check, NotApplicableError
from retinue_sdk.testing.checks import CHECKS
from retinue_sdk.testing.subject import Subject


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check.

    Attributes:
        id: The check.
        meaning: The requirement, in one line.
        outcome: ``passed``, ``failed``, or ``skipped`` if the check doesn't apply.
        message: Why it failed and the remedy, or why it was skipped; empty if it passed.
        seconds: Its duration.
    """

    id: str
    meaning: str
    outcome: Literal["passed", "failed", "skipped"]
    message: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """The results of all checks.

    Attributes:
        detector: The detector's name.
        detector_version: Its version.
        results: One result for each check, in order.
    """

    detector: str
    detector_version: str
    results: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool:
        """Return whether no check failed."""
        return not any(result.outcome == "failed" for result in self.results)

    @property
    def failures(self) -> list[str]:
        """Return the ids of the failed checks."""
        return [result.id for result in self.results if result.outcome == "failed"]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "detector": self.detector,
            "detector_version": self.detector_version,
            "sdk_version": version("retinue-sdk"),
            "passed": self.passed,
            "checks": [asdict(result) for result in self.results],
        }


def run_checks(
    subject: Subject,
    checks: Sequence[Check] = CHECKS,
    *,
    on_result: Callable[[CheckResult], None] | None = None,
) -> Report:
    """Apply checks to a detector, each to a new instance.

    Args:
        subject: The detector, its options and images.
        checks: The checks; all by default.
        on_result: Called with each result.
    """
    results = []
    for check in checks:
        result = _apply(check, subject)
        if on_result is not None:
            on_result(result)
        results.append(result)
    return Report(subject.detector.name, subject.detector.version, tuple(results))


def _apply(check: Check, subject: Subject) -> CheckResult:
    began = time.monotonic()
    outcome: Literal["passed", "failed", "skipped"] = "passed"
    message = ""
    try:
        with Bench(subject) as bench:
            check(bench)
    except CheckFailedError as error:
        outcome, message = "failed", str(error)
    except NotApplicableError as error:
        outcome, message = "skipped", str(error)
    # A detector's text may be invalid Unicode, which must not break the report or the terminal.
    message = message.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\0")
    return CheckResult(check.id, check.meaning, outcome, message, time.monotonic() - began)
