"""What is compared: for each image, ground truth and predictions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""


class EvaluationTask(StrEnum):
    """What is compared."""

    DETECTION = "detection"
    """Where things are: a prediction is right if its box overlaps a true one of its label."""

    CLASSIFICATION = "classification"
    """What is in the image as a whole: a prediction is right if the image has its label."""


@dataclass(frozen=True, slots=True)
class CocoAnnotation:
    """One annotation in pycocotools' sense: of the ground truth, or a prediction.

    Attributes:
        label: What it is called.
        bbox_px: Where; none if that is not known.
        confidence: 0 to 1.
        crowd: Whether the box holds a crowd (COCO's ``iscrowd``): finding any of it is no error.
        area_px: Its area, if that is not the box's.
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
        name: For messages.
        ground_truth: What is there.
        predictions: What was found.
    """

    name: str
    ground_truth: list[CocoAnnotation] = field(default_factory=list)
    predictions: list[CocoAnnotation] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TrueImage:
    """One image of the ground truth.

    Attributes:
        name: For messages.
        size_px: Width and height, if they are known.
        items: What is there.
        human: Whether people said so.
    """

    name: str
    size_px: tuple[int, int] | None
    items: list[CocoAnnotation]
    human: bool = True


@dataclass(frozen=True, slots=True)
class Truth:
    """Ground truth for images of the history.

    Attributes:
        images: By image id, in the order in which pycocotools goes through them.
        labels: Every label that it knows, whether an image has it or not.
        unknown: How many of its images the history does not know.
    """

    images: Mapping[UUID, TrueImage]
    labels: frozenset[str]
    unknown: int = 0
