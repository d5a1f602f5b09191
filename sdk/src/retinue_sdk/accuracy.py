"""The accuracy of findings: right ones, average precision, and thresholds, as COCO defines them.

The definitions are those of pycocotools' ``cocoeval.py``
(https://cocodataset.org/#detection-eval), at an overlap of 0.5.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from retinue_sdk.training import Annotated, ClassScore

MIN_IOU = 0.5
"""Overlap with the true box from which a found one is right."""

RECALLS = np.linspace(0, 1, 101)
"""COCO's recalls, at which precision is averaged."""

LEAST_CONFIDENCE = 0.05
"""Findings of trained models with less don't count, and no threshold is lower."""

DEFAULT_THRESHOLD = 0.5
"""The threshold if nothing right was found."""

SHARED_THINGS = 20
"""How many things of all labels count beside a label's own when its threshold is chosen.

On composites of logos, and on digits, any number from 10 to 40 is about equally good.
"""

ROUNDING = 1e-9
"""F1 scores that differ less are equal."""

Found: TypeAlias = Sequence[tuple[Annotated, float]]
"""Findings of one image with their confidence, best first."""

Floats: TypeAlias = npt.NDArray[np.float64]
Truths: TypeAlias = npt.NDArray[np.bool_]


def right(found: Found, things: Sequence[Annotated]) -> list[bool]:
    """Return whether each finding is right: it overlaps a thing that no better one has.

    Two labels of the whole image overlap entirely.
    """
    free = list(things)
    answers = []
    for one, _ in found:
        overlaps = [_overlap(one, thing) for thing in free]
        best = int(np.argmax(overlaps)) if overlaps else -1
        is_right = best >= 0 and overlaps[best] >= MIN_IOU
        if is_right:
            free.pop(best)
        answers.append(is_right)
    return answers


def _overlap(one: Annotated, thing: Annotated) -> float:
    if one.label != thing.label:
        return 0.0
    if one.box is None or thing.box is None:
        return 1.0 if one.box is None and thing.box is None else 0.0
    return one.box.iou(thing.box)


def best_first(confidences: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the indices of findings by descending confidence. Equal ones keep their order."""
    return np.argsort(-confidences, kind="stable")


def average_precision(
    is_right: Truths, truths: int, times: npt.NDArray[np.int64] | None = None
) -> float | None:
    """Return the mean precision at 101 recalls; ``None`` without true things.

    The precision at a recall is the highest one at this recall or a higher one.

    Args:
        is_right: Whether each finding is right, best first.
        truths: Number of true things.
        times: How often each finding counts; ``None`` for once.
    """
    if not truths:
        return None
    counted = np.ones(len(is_right), np.int64) if times is None else times
    hits, found = np.cumsum(counted * is_right), np.cumsum(counted)
    precision = np.divide(hits, found, out=np.zeros(len(hits)), where=found > 0)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.append(envelope, 0.0)[np.searchsorted(hits / truths, RECALLS)].mean())


def best_threshold(
    confidences: npt.ArrayLike,
    is_right: npt.ArrayLike,
    truths: float,
    weights: npt.ArrayLike | None = None,
) -> float:
    """Return the threshold with the best F1 score, 0.5 if nothing right was found.

    It is in the middle between two neighbouring confidences, so that it isn't sensitive to small
    differences. Of equally good ones, the one closest to 0.5 is taken.

    Args:
        confidences: The confidence of each finding.
        is_right: Whether each finding is right.
        truths: Number of true things.
        weights: How much each finding counts; ``None`` for 1 each.
    """
    ascending, hits = np.asarray(confidences, float), np.asarray(is_right, np.bool_)
    if not hits.any():
        return DEFAULT_THRESHOLD
    order = np.argsort(ascending, kind="stable")
    ascending, hits = ascending[order], hits[order]
    found = np.ones(len(hits)) if weights is None else np.asarray(weights, float)[order]
    middles = (ascending[1:] + ascending[:-1]) / 2
    candidates = np.unique([*middles, ascending[0] / 2, DEFAULT_THRESHOLD])
    below = np.searchsorted(ascending, candidates)
    omitted = np.concatenate([[0], np.cumsum(found)])[below]
    missed = np.concatenate([[0], np.cumsum(found * hits)])[below]
    scores = 2 * ((found * hits).sum() - missed) / (found.sum() - omitted + truths)
    equal = candidates[scores >= scores.max() - ROUNDING]
    return float(min(equal, key=lambda one: (abs(one - DEFAULT_THRESHOLD), one)))


@dataclass(frozen=True, slots=True)
class Curve:
    """All findings of one label.

    Attributes:
        truths: Number of true things.
        confidences: The confidence of each finding.
        is_right: Whether each finding is right.
    """

    truths: int
    confidences: Floats
    is_right: Truths

    @classmethod
    def of(cls, truths: int, judged: Sequence[tuple[float, bool]]) -> Self:
        """Return the curve of findings with their confidence, and whether they are right."""
        confidences, is_right = zip(*judged, strict=True) if judged else ((), ())
        return cls(truths, np.array(confidences, float), np.array(is_right, np.bool_))

    def average_precision(self) -> float | None:
        """Return the average precision; ``None`` without true things."""
        return average_precision(self.is_right[best_first(self.confidences)], self.truths)

    def score(self, label: str, threshold: float) -> ClassScore:
        """Return the accuracy at a threshold."""
        reported = self.confidences >= threshold
        hits = int((reported & self.is_right).sum())
        wrong, missed = int(reported.sum()) - hits, self.truths - hits
        return ClassScore(label, threshold, hits, wrong, missed, self.average_precision())

    def best_f1(self) -> float:
        """Return the best F1 score of any threshold from ``LEAST_CONFIDENCE``."""
        best = best_threshold(self.confidences, self.is_right, self.truths)
        return self.score("", max(best, LEAST_CONFIDENCE)).f1 or 0.0


def thresholds(curves: Mapping[str, Curve]) -> dict[str, float]:
    """Return the threshold of each label, from findings in images that weren't learned.

    A few things of a label say little about its best threshold. So the findings of all labels
    count too, as if they belonged to ``SHARED_THINGS`` more things of this label. With few things
    of its own, a label gets the threshold that is best for all labels.
    """
    confidences = np.concatenate([one.confidences for one in curves.values()])
    is_right = np.concatenate([one.is_right for one in curves.values()])
    owners = np.repeat([*curves], [len(one.is_right) for one in curves.values()])
    shared = SHARED_THINGS / max(sum(one.truths for one in curves.values()), 1)
    found = {}
    for label, one in curves.items():
        weights, truths = shared + (owners == label), SHARED_THINGS + one.truths
        found[label] = max(best_threshold(confidences, is_right, truths, weights), LEAST_CONFIDENCE)
    return found


def curves(
    labels: Iterable[str], answers: Iterable[tuple[Found, Sequence[Annotated]]]
) -> dict[str, Curve]:
    """Return the curve of each label, for findings and true things of images."""
    truths: Counter[str] = Counter(dict.fromkeys(labels, 0))
    judged: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for found, things in answers:
        truths.update(thing.label for thing in things)
        for (one, confidence), is_right in zip(found, right(found, things), strict=True):
            judged[one.label].append((confidence, is_right))
    known = dict.fromkeys([*truths, *judged])
    return {label: Curve.of(truths[label], judged[label]) for label in known}
