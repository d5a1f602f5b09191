"""Count labels that were confused."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from pycocotools import mask  # type: ignore[import-untyped]  # it ships no type information

MAX_IMAGES = 100
"""Maximum number of images that are kept for each pair of labels."""


@dataclass(slots=True)
class Left:
    """The annotations of an image without a partner of the same label.

    Attributes:
        ground_truth: Label and box of each true item.
        predictions: Label, box and confidence of each finding.
    """

    ground_truth: list[tuple[str, list[float]]] = field(default_factory=list)
    predictions: list[tuple[str, list[float], float]] = field(default_factory=list)


@dataclass(slots=True)
class Confusion:
    """Counts by true and found label.

    Attributes:
        labels: The labels, in order.
        counts: By (true label, found label). ``None`` means nothing.
        images: The names of the first ``MAX_IMAGES`` images of each pair, each once.
    """

    labels: tuple[str, ...]
    counts: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    images: defaultdict[tuple[str | None, str | None], list[str]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(self, there: str | None, found: str | None, image: str) -> None:
        """Count one."""
        self.counts[there, found] += 1
        images = self.images[there, found]
        if len(images) < MAX_IMAGES and image not in images:
            images.append(image)

    def match_rest(self, left: Left, image: str, *, iou: float, pair: bool) -> None:
        """Count the unmatched items of one image: confused if boxes overlap, missed, or invented.

        Args:
            left: The unmatched items.
            image: The image's name.
            iou: Minimum overlap of two boxes of the same thing.
            pair: Whether items can be confused with each other.
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
                    self.add(truth[t][0], found[f][0], image)
            truth = [one for place, one in enumerate(truth) if place not in used_truth]
            found = [one for place, one in enumerate(found) if place not in used_found]
        for label, _ in truth:
            self.add(label, None, image)
        for label, _, _ in found:
            self.add(None, label, image)

    def matrix(self) -> list[list[int]]:
        """Return a row for each true label and a column for each found label, with nothing last."""
        names: tuple[str | None, ...] = (*self.labels, None)
        return [[self.counts[there, found] for found in names] for there in names]

    def mistakes(self) -> list[tuple[str, str, int]]:
        """Return confused labels, the most frequent first."""
        return [
            (there, found, number)
            for (there, found), number in sorted(
                self.counts.items(), key=lambda one: (-one[1], str(one[0]))
            )
            if there is not None and found is not None and there != found
        ]
