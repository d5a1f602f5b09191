"""The accuracy of findings: right ones, average precision, and thresholds, as COCO defines them.

The definitions are those of pycocotools' ``cocoeval.py``
(https://cocodataset.org/#detection-eval), at an overlap of 0.5.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
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


def best_threshold(confidences: npt.ArrayLike, is_right: npt.ArrayLike, truths: int) -> float:
    """Return the threshold with the best F1 score, 0.5 if nothing right was found.

    It is in the middle between two neighbouring confidences, so that it isn't sensitive to small
    differences. Of equally good ones, the one closest to 0.5 is taken.
    """
    ascending, hits = np.asarray(confidences, float), np.asarray(is_right, np.bool_)
    if not hits.any():
        return DEFAULT_THRESHOLD
    order = np.argsort(ascending, kind="stable")
    ascending, hits = ascending[order], hits[order]
    middles = (ascending[1:] + ascending[:-1]) / 2
    candidates = np.unique([*middles, ascending[0] / 2, DEFAULT_THRESHOLD])
    below = np.searchsorted(ascending, candidates)
    missed = np.concatenate([[0], np.cumsum(hits)])[below]
    scores = 2 * (hits.sum() - missed) / (len(hits) - below + truths)
    equal = candidates[scores == scores.max()]
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

    def threshold(self) -> float:
        """Return the threshold with the best F1 score, at least ``LEAST_CONFIDENCE``."""
        best = best_threshold(self.confidences, self.is_right, self.truths)
        return max(best, LEAST_CONFIDENCE)

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
        """Return the best F1 score of any threshold."""
        return self.score("", self.threshold()).f1 or 0.0


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
