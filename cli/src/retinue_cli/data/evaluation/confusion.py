"""What was taken for what."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pycocotools import mask  # type: ignore[import-untyped]  # it ships no type information


@dataclass(slots=True)
class Left:
    """What has no partner of its own label in one image.

    Attributes:
        ground_truth: Label and box of what is there.
        predictions: Label, box and confidence of what was found.
    """

    ground_truth: list[tuple[str, list[float]]] = field(default_factory=list)
    predictions: list[tuple[str, list[float], float]] = field(default_factory=list)


@dataclass(slots=True)
class Confusion:
    """Counts by what is there and what was found.

    Attributes:
        labels: The labels, in order.
        counts: By (there, found): the same label is right; ``None`` stands for nothing.
    """

    labels: tuple[str, ...]
    counts: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)

    def add(self, there: str | None, found: str | None) -> None:
        """Count one."""
        self.counts[there, found] += 1

    def match_rest(self, left: Left, *, iou: float, pair: bool) -> None:
        """Count what is left over in one image: confused where boxes overlap, missed, or made up.

        Args:
            left: What is left over.
            iou: How much boxes must overlap to show the same thing.
            pair: Whether anything can be said to be taken for another.
        """
        truth, found = list(left.ground_truth), list(left.predictions)
        if pair and truth and found:
            overlap: Any = mask.iou(
                [box for _, box, _ in found], [box for _, box in truth], [0] * len(truth)
            )
            pairs = sorted(
                (-overlap[f][t], -found[f][2], f, t)
                for f in range(len(found))
                for t in range(len(truth))
                if overlap[f][t] >= iou and found[f][0] != truth[t][0]
            )
            used_found: set[int] = set()
            used_truth: set[int] = set()
            for _, _, f, t in pairs:
                if f not in used_found and t not in used_truth:
                    used_found.add(f)
                    used_truth.add(t)
                    self.add(truth[t][0], found[f][0])
            truth = [one for place, one in enumerate(truth) if place not in used_truth]
            found = [one for place, one in enumerate(found) if place not in used_found]
        for label, _ in truth:
            self.add(label, None)
        for label, _, _ in found:
            self.add(None, label)

    def matrix(self) -> list[list[int]]:
        """A row for each label that is there, a column for each found; nothing comes last."""
        names: tuple[str | None, ...] = (*self.labels, None)
        return [[self.counts[there, found] for found in names] for there in names]

    def mistakes(self) -> list[tuple[str, str, int]]:
        """Return what was taken for another label, the most frequent first."""
        return [
            (there, found, number)
            for (there, found), number in sorted(
                self.counts.items(), key=lambda one: (-one[1], str(one[0]))
            )
            if there is not None and found is not None and there != found
        ]
