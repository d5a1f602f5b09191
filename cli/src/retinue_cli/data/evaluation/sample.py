"""Samples: the ground truth and the predictions of each image."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from uuid import UUID

from retinue_history.review.truth import EVERYTHING, MadeBy, Scope
from retinue_sdk import BoundingBox, ImageReference

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""

DIGITS = 9
"""Decimals of a pixel that count. Boxes are stored as ratios, and 0.1 × 640 must be 64 again."""


class EvaluationTask(StrEnum):
    """The kind of comparison."""

    DETECTION = "detection"
    """Boxes: a prediction is correct if its box overlaps a true one of its label."""

    CLASSIFICATION = "classification"
    """Whole images: a prediction is correct if the image has its label."""


@dataclass(frozen=True, slots=True)
class CocoAnnotation:
    """An annotation in pycocotools' sense, true or predicted.

    Attributes:
        label: The label.
        bbox_px: The box; ``None`` if unknown.
        confidence: 0 to 1.
        crowd: Whether the box contains a crowd (COCO's ``iscrowd``): finding any of it is correct.
        area_px: Its area, if it differs from the box's.
    """

    label: str
    bbox_px: Box | None
    confidence: float = 1.0
    crowd: bool = False
    area_px: float | None = None


@dataclass(slots=True)
class Sample:
    """One image.

    Attributes:
        name: The name, for messages.
        ground_truth: The true items.
        predictions: The findings.
        exhaustive: Whether the ground truth marks everything. If not, a prediction without a
            counterpart is unknown, unless ``absent`` has one.
        absent: Things that people rejected.
    """

    name: str
    ground_truth: list[CocoAnnotation] = field(default_factory=list)
    predictions: list[CocoAnnotation] = field(default_factory=list)
    exhaustive: bool = True
    absent: list[CocoAnnotation] = field(default_factory=list)

    def placed(self) -> "Sample":
        """Return the sample with only the items that have a box."""
        return self._with_items(lambda items: [one for one in items if one.bbox_px is not None])

    def whole(self) -> "Sample":
        """Return the sample with the labels of the whole image, each once."""
        return self._with_items(_surest)

    def _with_items(
        self, select: Callable[[list[CocoAnnotation]], list[CocoAnnotation]]
    ) -> "Sample":
        return replace(
            self,
            ground_truth=select(self.ground_truth),
            predictions=select(self.predictions),
            absent=select(self.absent),
        )


def _surest(items: list[CocoAnnotation]) -> list[CocoAnnotation]:
    """Return each label once, with the confidence of its most confident item."""
    surest: dict[str, float] = {}
    for item in items:
        surest[item.label] = max(surest.get(item.label, 0.0), item.confidence)
    return [CocoAnnotation(label, None, confidence) for label, confidence in surest.items()]


def box_px(box: BoundingBox, size_px: tuple[int, int]) -> Box:
    """Return a box in pixels of an image of this width and height."""
    width, height = size_px
    return (
        round(box.left * width, DIGITS),
        round(box.top * height, DIGITS),
        round(box.width * width, DIGITS),
        round(box.height * height, DIGITS),
    )


@dataclass(frozen=True, slots=True)
class TrueImage:
    """One image of the ground truth.

    Attributes:
        name: The name, for messages.
        size_px: Width and height, if known.
        items: The true items.
        made_by: The kind of author: people, a person about many images (bulk), or a machine.
        scope: Labels that people or detectors looked for.
        exhaustive: Whether everything within the scope is among the items.
        absent: Things that people rejected.
        propensity: The chance that the image had of being drawn at random; ``None`` if it was
            chosen, or if that isn't known.
        reference: The version of the object, if the history has it.
    """

    name: str
    size_px: tuple[int, int] | None
    items: list[CocoAnnotation]
    made_by: MadeBy = "people"
    scope: Scope = EVERYTHING
    exhaustive: bool = True
    absent: list[CocoAnnotation] = field(default_factory=list)
    propensity: float | None = None
    reference: ImageReference | None = None


@dataclass(frozen=True, slots=True)
class Truth:
    """Ground truth for images of the history.

    Attributes:
        images: By image id, in pycocotools' order.
        labels: Every label, even if no image has it.
        unknown: Number of its images that aren't in the history.
        reviewed: Whether it comes from reviews, so that each image was drawn at random or chosen.
    """

    images: Mapping[UUID, TrueImage]
    labels: frozenset[str]
    unknown: int = 0
    reviewed: bool = False

    @property
    def drawn(self) -> "Truth":
        """Only the images that were drawn at random."""
        drawn = {key: one for key, one in self.images.items() if one.propensity is not None}
        return replace(self, images=drawn)
