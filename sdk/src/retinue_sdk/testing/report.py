"""Every check applied to a detector, and what came of it."""

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
    """What came of one check.

    Attributes:
        id: The check.
        meaning: What a detector that passes does.
        outcome: Whether it passed; ``skipped`` when it is not for this detector.
        message: Why it failed and what to do, or why it was skipped; empty when it passed.
        seconds: How long it took.
    """

    id: str
    meaning: str
    outcome: Literal["passed", "failed", "skipped"]
    message: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all checks.

    Attributes:
        detector: The detector's name.
        detector_version: Its version.
        results: One for each check, in their order.
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
        """The ids of the checks that failed."""
        return [result.id for result in self.results if result.outcome == "failed"]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
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
    """Apply checks to a detector, one after the other, each to a detector of its own.

    Args:
        subject: The detector, its options and images.
        checks: Which checks; all by default.
        on_result: Called with each result as soon as there is one.
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
    # What a detector said may be no valid Unicode, and must neither end a report nor a terminal.
    message = message.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\0")
    return CheckResult(check.id, check.meaning, outcome, message, time.monotonic() - began)
