"""An image with its annotations, and their constraints."""

from dataclasses import dataclass, field
from typing import TypeGuard
from uuid import UUID

from retinue_history.review.truth import MadeBy, Scope, TruthItem
from retinue_sdk import Json

TOLERANCE_PX = 1.0
"""How far a box may exceed the image's border, because annotation tools round."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation.

    Attributes:
        number: Its id in the file, for messages.
        label: The category's name.
        confidence: 0 to 1; 1 if the file has no score.
        bbox_px: Left, top, width and height in pixels; ``None`` for a label of the whole image.
        attributes: Other fields of the file.
        kind: The kind of thing.
    """

    number: object
    label: str
    confidence: float
    bbox_px: tuple[float, float, float, float] | None
    attributes: dict[str, Json]
    kind: str = "label"


@dataclass(slots=True)
class AnnotatedImage:
    """One image of the file, with its annotations.

    Attributes:
        name: Its file name.
        image_id: The history's id, if the file is an export of Retinue.
        uri: Its ``s3://`` URI, if the file has one.
        size_px: Width and height, if the file has them.
        annotations: The annotations; empty if people found nothing.
        made_by: The kind of author. A manifest can contain a machine's findings.
        scope: Labels that people looked for; ``None`` for the labels of the file.
        exhaustive: Whether everything within the scope is annotated.
        others: Things that the format can't express, such as those that people rejected.
        is_complete: Whether all its annotations could be used. The problems name the others.
        photograph: The photograph that it was made from, if the file names it.
    """

    name: str
    image_id: UUID | None
    uri: str | None
    size_px: tuple[int, int] | None
    annotations: list[Annotation] = field(default_factory=list)
    made_by: MadeBy = "people"
    scope: Scope | None = None
    exhaustive: bool = True
    others: list[TruthItem] = field(default_factory=list)
    is_complete: bool = True
    photograph: str | None = None

    @property
    def is_human(self) -> bool:
        """Return whether people annotated it."""
        return self.made_by != "machine"


def is_text(value: object) -> bool:
    """Return whether a value is a text that Postgres can store."""
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def is_side(value: object) -> TypeGuard[int]:
    """Return whether a value is an integer that an image's side can have."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


def inside(bbox_px: tuple[float, float, float, float], size_px: tuple[int, int]) -> bool:
    """Return whether a box is within an image, up to the tolerance."""
    left, top, width, height = bbox_px
    return (
        left >= -TOLERANCE_PX
        and top >= -TOLERANCE_PX
        and left + width <= size_px[0] + TOLERANCE_PX
        and top + height <= size_px[1] + TOLERANCE_PX
    )
