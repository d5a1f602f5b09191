"""Compare found boxes with true ones, and choose thresholds."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from retinue_sdk.training import Annotated, ClassScore

MIN_IOU = 0.5
"""Overlap with the true box from which a found one is right (Pascal VOC's)."""

DIGITS = 3
"""Decimals of a threshold."""

Found = Sequence[tuple[Annotated, float]]
"""Findings with their confidence, best first."""


def right(found: Found, things: Sequence[Annotated]) -> list[bool]:
    """Return whether each finding is right: it overlaps a thing that no better one has."""
    free = list(things)
    answers = []
    for one, _ in found:
        overlaps = [
            one.box.iou(thing.box)
            if one.box is not None and thing.box is not None and one.label == thing.label
            else 0.0
            for thing in free
        ]
        best = int(np.argmax(overlaps)) if overlaps else -1
        is_right = best >= 0 and overlaps[best] >= MIN_IOU
        if is_right:
            free.pop(best)
        answers.append(is_right)
    return answers


@dataclass(slots=True)
class Curve:
    """All findings of one label.

    Attributes:
        things: Number of things with this label.
        confidences: The confidence of each finding.
        is_right: Whether each finding is right.
    """

    things: int = 0
    confidences: list[float] = field(default_factory=list)
    is_right: list[bool] = field(default_factory=list)

    def threshold(self) -> float:
        """Return the threshold with the best F1 score, 0.5 if nothing right was found.

        It is in the middle between two neighbouring confidences.
        """
        confidences, hits = self._best_first()
        if not hits.any():
            return 0.5
        f1 = 2 * np.cumsum(hits) / (np.arange(1, len(hits) + 1) + self.things)
        ends = np.append(confidences[1:] < confidences[:-1], True)  # equal ones come together
        best = int(np.argmax(np.where(ends, f1, -1)))
        below = confidences[best + 1] if best + 1 < len(confidences) else confidences[best] / 2
        return float(np.round((confidences[best] + below) / 2, DIGITS))

    def average_precision(self) -> float | None:
        """Return the area under the precision–recall curve; ``None`` without things."""
        if not self.things:
            return None
        _, hits = self._best_first()
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return float(envelope[hits].sum() / self.things)

    def score(self, label: str, threshold: float) -> ClassScore:
        """Return the accuracy at a threshold."""
        reported = [
            is_right
            for confidence, is_right in zip(self.confidences, self.is_right, strict=True)
            if confidence >= threshold
        ]
        hits = sum(reported)
        return ClassScore(
            label,
            threshold,
            hits,
            len(reported) - hits,
            self.things - hits,
            self.average_precision(),
        )

    def best_f1(self) -> float:
        """Return the best F1 score of any threshold."""
        return self.score("", self.threshold()).f1 or 0.0

    def _best_first(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Return confidences and hits by descending confidence; of equal ones, misses first."""
        confidences, hits = np.array(self.confidences, float), np.array(self.is_right, np.bool_)
        order = np.lexsort((hits, -confidences))
        return confidences[order], hits[order]


def curves(
    labels: Iterable[str], answers: Iterable[tuple[Found, Sequence[Annotated]]]
) -> dict[str, Curve]:
    """Return the curve of each label, for findings and true things of images."""
    found: dict[str, Curve] = defaultdict(Curve, {label: Curve() for label in labels})
    for findings, things in answers:
        for thing in things:
            found[thing.label].things += 1
        for (one, confidence), is_right in zip(findings, right(findings, things), strict=True):
            found[one.label].confidences.append(confidence)
            found[one.label].is_right.append(is_right)
    return dict(found)
