"""Compare two answers, with a tolerance for a different order of arithmetic."""

from collections.abc import Sequence

from retinue_sdk.detection import Detection, Findings
from retinue_sdk.detector import Result
from retinue_sdk.errors import InvalidImageError
from retinue_sdk.testing.bench import CheckFailedError

TOLERANCE = 1e-3
"""Tolerance for confidences and edges, as ratios: a tenth of a percent. float32 sums in a different
order differ by less, and people can't see the difference.
"""


def expect_same(one: Result, other: Result, what: str) -> None:
    """Raise ``CheckFailedError`` if two answers differ.

    Raises:
        CheckFailedError: They differ. The message describes the difference, after ``what``.
    """
    found = difference(one, other)
    if found is not None:
        raise CheckFailedError(f"{what}: {found}")


def difference(one: Result, other: Result) -> str | None:
    """Describe the difference between two answers; ``None`` if they are equal."""
    if not (isinstance(one, Findings) and isinstance(other, Findings)):
        if type(one) is not type(other):
            return f"{_short(one)}, then {_short(other)}"
        codes = [answer.code for answer in (one, other) if isinstance(answer, InvalidImageError)]
        return f"the code {codes[0]}, then {codes[1]}" if len(set(codes)) > 1 else None
    return _detections(sorted(one.detections, key=_order), sorted(other.detections, key=_order))


def _detections(one: Sequence[Detection], other: Sequence[Detection]) -> str | None:
    if len(one) != len(other):
        return f"{len(one)} detections, then {len(other)}"
    for first, second in zip(one, other, strict=True):
        if (first.kind, first.label) != (second.kind, second.label):
            return f"{first.kind} {first.label!r}, then {second.kind} {second.label!r}"
        if abs(first.confidence - second.confidence) > TOLERANCE:
            return f"{first.label!r} at {first.confidence:.4f}, then at {second.confidence:.4f}"
        if (first.box is None) != (second.box is None):
            return f"{first.label!r} with a box, and without"
        if first.box is not None and second.box is not None:
            edges = ("left", "top", "right", "bottom")
            if any(
                abs(getattr(first.box, edge) - getattr(second.box, edge)) > TOLERANCE
                for edge in edges
            ):
                return f"{first.label!r} in {first.box}, then in {second.box}"
    return None


def _order(detection: Detection) -> tuple[str, str, float, float, float]:
    """Return a sort key that small differences don't change."""
    box = detection.box
    left, top = (round(box.left, 2), round(box.top, 2)) if box is not None else (0.0, 0.0)
    return (detection.kind, detection.label, left, top, round(detection.confidence, 2))


def _short(result: Result) -> str:
    if isinstance(result, Findings):
        return f"{len(result.detections)} detections"
    return f"{type(result).__name__}: {result}"
