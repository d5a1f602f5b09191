"""Match boxes greedily: the pair that overlaps most first, then the next that is still free."""

from collections.abc import Sequence
from typing import TypeAlias

from retinue_history.analysis.comparison import DEFAULT_IOU
from retinue_history.recording.records import Box
from retinue_history.review.answer import AnswerItem, Shown
from retinue_history.review.truth import TruthItem

Thing: TypeAlias = TruthItem | AnswerItem | Shown
"""A thing with a kind, a label and a box."""

MIN_IOU = DEFAULT_IOU
"""Minimum intersection over union of two boxes that show the same thing."""


def iou(one: Box | None, other: Box | None) -> float:
    """Return the intersection over union of two boxes.

    Two things of the whole image overlap entirely; one of them and a box do not.
    """
    if one is None or other is None:
        return 1.0 if one is other else 0.0
    if one == other:
        return 1.0
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(wide, 0.0) * max(high, 0.0)
    either = one[2] * one[3] + other[2] * other[3] - shared
    return shared / either if either > 0 else 0.0


def match(ones: Sequence[Thing], others: Sequence[Thing]) -> list[tuple[int, int]]:
    """Pair things of the same kind and label, by their places in the two lists.

    The result does not depend on the order of the items, except between equal overlaps.
    """
    candidates = sorted(
        (
            (iou(one.box, other.box), a, b)
            for a, one in enumerate(ones)
            for b, other in enumerate(others)
            if (one.kind, one.label) == (other.kind, other.label)
        ),
        key=lambda candidate: (-candidate[0], candidate[1], candidate[2]),
    )
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for overlap, a, b in candidates:
        if overlap >= MIN_IOU and a not in pairs and b not in taken:
            pairs[a] = b
            taken.add(b)
    return sorted(pairs.items())
