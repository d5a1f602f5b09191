"""Sum up a comparison: the changes of each label, and the images that changed most."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

if TYPE_CHECKING:
    from retinue_history.analysis.comparison import Difference, Overlap


@dataclass(slots=True)
class Tally:
    """The counts of changes of one label."""

    changes: Counter[str] = field(default_factory=Counter)
    shift: float = 0.0
    iou: float = 0.0
    boxes: int = 0

    def add(self, one: "Difference") -> None:
        """Count a change."""
        self.changes[one.change] += 1
        self.shift += _shift(one) or 0.0
        if one.iou is not None:
            self.iou += one.iou
            self.boxes += 1

    @property
    def moved(self) -> int:
        """Return the number of detections that were gained or lost."""
        return self.changes["gained"] + self.changes["lost"]

    def as_json(self) -> dict[str, Any]:
        """Return the counts, and the means over kept detections."""
        kept = self.changes["kept"]
        return {
            "kept": kept,
            "gained": self.changes["gained"],
            "lost": self.changes["lost"],
            "unknown": self.changes["unknown"],
            "mean_confidence_shift": self.shift / kept if kept else None,
            "mean_iou": self.iou / self.boxes if self.boxes else None,
        }


Labels: TypeAlias = dict[tuple[str, str], Tally]
"""By kind and label."""

_Changed = tuple[int, float, UUID, list["Difference"]]


def by_image(differences: Iterable["Difference"], labels: Labels) -> Iterator[list["Difference"]]:
    """Yield the changes image by image, and count labels meanwhile."""
    for _, group in groupby(differences, key=lambda one: one.image_id):
        image = list(group)
        for one in image:
            labels.setdefault((one.kind, one.label), Tally()).add(one)
        yield image


def most_changed(
    images: Iterable[list["Difference"]], number: int
) -> tuple[int, list[list["Difference"]]]:
    """Return the number of images with gained or lost detections, and those with most changes."""
    changed, most = 0, list[_Changed]()
    for image in images:
        moved = sum(one.change in ("gained", "lost") for one in image)
        changed += moved > 0
        shift = sum(abs(_shift(one) or 0.0) for one in image)
        if moved or shift:
            entry = moved, shift, image[0].image_id, image
            if len(most) < number:
                heapq.heappush(most, entry)
            elif number:
                heapq.heappushpop(most, entry)
    return changed, [entry[3] for entry in sorted(most, reverse=True)]


def summary(seen: "Overlap", labels: Labels) -> dict[str, Any]:
    """Return the figures of a comparison."""
    return {
        "images_seen_by_both": seen.both,
        "images_only_before": seen.only_before,
        "images_only_after": seen.only_after,
        "labels": [
            {"kind": kind, "label": label, **tally.as_json()}
            for (kind, label), tally in sorted(labels.items())
        ],
    }


def _shift(one: "Difference") -> float | None:
    if one.confidence_before is None or one.confidence_after is None:
        return None
    return one.confidence_after - one.confidence_before
