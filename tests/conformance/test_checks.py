"""Each check finds what it is for: a detector that does everything right but one thing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel
from retinue_hostile.asynchronous import ConformingAsync
from retinue_hostile.conforming import Conforming, ConformingBase, ConformingOptions
from retinue_hostile.failing_answers import Overcharged
from retinue_hostile.plugin import FAILING
from retinue_sdk import AnyDetector, Image, Result, RetriableError
from retinue_sdk.testing import CHECKS, CheckResult, Fault, Report, Subject, pictures, run_checks


@contextmanager
def throttling() -> Iterator[None]:
    Overcharged.throttled = True
    try:
        yield
    finally:
        Overcharged.throttled = False


SPECIAL: dict[str, dict[str, Any]] = {
    "failing-in-time": {"timeout_seconds": 4.0, "options": {"max_batch_size": 16}},
    "failing-faults-classified": {"faults": {"throttled": Fault(throttling, RetriableError)}},
    "failing-no-secret-told": {"options": {"service_key": "open sesame"}},
    "failing-memory-bounded": {"memory_images": 80},
}
"""What a subject needs for its mistake to show, and quickly."""


def report(detector: type[AnyDetector], **special: Any) -> Report:
    return run_checks(Subject(detector, **{"memory_images": 20, **special}))


def told(found: Report) -> str:
    return "\n".join(result.message for result in found.results if result.outcome == "failed")


def test_there_is_a_failing_detector_for_every_check() -> None:
    assert [f"failing-{check.id}" for check in CHECKS] == sorted(
        (detector.name for detector in FAILING),
        key=[f"failing-{check.id}" for check in CHECKS].index,
    )


def alone(detector: type[AnyDetector]) -> list[pytest.MarkDecorator]:
    """Run a check in its own process, because earlier tests may have left free memory."""
    return [pytest.mark.alone] if detector.name == "failing-memory-bounded" else []


@pytest.mark.parametrize(
    "detector", [pytest.param(one, id=one.name, marks=alone(one)) for one in FAILING]
)
def test_a_mistake_fails_its_check_and_no_other(
    detector: type[AnyDetector], monkeypatch: pytest.MonkeyPatch
) -> None:
    if detector.name != "failing-odd-sizes":  # twelve megapixels take most of a report's time
        small = {name: data for name, data in pictures.sizes().items() if "4000" not in name}
        monkeypatch.setattr(pictures, "sizes", lambda: small)
    found = report(detector, **SPECIAL.get(detector.name, {}))
    assert found.failures == [detector.name.removeprefix("failing-")], told(found)
    assert "\n  expected: " in told(found)
    assert "\n  remedy: " in told(found)


class Pooled(ConformingBase[ConformingOptions]):
    """Takes a large piece of memory once, late, and keeps it: a pool, not a leak."""

    name: ClassVar[str] = "pooled"
    pool: ClassVar[list[bytes]] = []

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        if not self.pool and any("image-60" in image.reference.key for image in images):
            self.pool.append(b"\1" * 2**26)
        return super().detect(images)


class Corner(BaseModel, frozen=True):
    """A corner whose default isn't of its type."""

    left: float = 0


class CornerOptions(ConformingOptions):
    """Options whose fingerprint depends on how they were given."""

    corner: Corner = Corner()
    """A corner."""


class InCorner(ConformingBase[CornerOptions]):
    """Another fingerprint for the same options."""

    name = "in-corner"


def test_an_option_that_changes_the_fingerprint_is_named() -> None:
    text = told(report(InCorner))
    assert "corner = Corner(left=0) comes back as Corner(left=0.0)" in text


def test_memory_that_is_taken_once_is_no_leak() -> None:
    [check] = [check for check in CHECKS if check.id == "memory-bounded"]
    found = run_checks(Subject(Pooled, memory_images=100), [check])
    assert Pooled.pool
    Pooled.pool.clear()
    assert found.passed, told(found)


ASYNC_CHECKS = {"event-loop-runs", "cancellation-ends-call", "prepared-equals-unprepared"}
BATCH_CHECKS = {"batch-equals-singles", "batch-survives-bad-image", "prepared-equals-unprepared"}


@pytest.mark.parametrize(
    ("detector", "memory_images", "not_applicable"),
    [
        (Conforming, 200, ASYNC_CHECKS),
        pytest.param(Conforming, 1_000, ASYNC_CHECKS, marks=pytest.mark.long),
        (ConformingAsync, 200, BATCH_CHECKS | {"priced"}),
    ],
)
def test_a_detector_without_mistakes_passes_them_all(
    detector: type[AnyDetector], memory_images: int, not_applicable: set[str]
) -> None:
    heard: list[CheckResult] = []
    subject = Subject(detector, memory_images=memory_images, secrets=["open sesame"])
    found = run_checks(subject, on_result=heard.append)
    assert found.passed, told(found)
    skipped = {result.id: result.message for result in found.results if result.outcome == "skipped"}
    faults = skipped.pop("faults-classified")
    assert faults == "the subject names no faults; see Subject.faults"
    assert skipped.keys() == not_applicable
    assert tuple(heard) == found.results
    assert found.to_json()["passed"] is True
