"""The bodies that the review page posts."""

from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator
from retinue_history.review.answer import Answer, AnswerItem, Shown
from retinue_history.review.truth import Scope
from retinue_sdk.detection import MAX_LABEL_BYTES

MAX_ITEMS = 1_000
"""Maximum number of items of an answer."""

Ratio = Annotated[FiniteFloat, Field(ge=-1, le=2)]
"""A place as a ratio of the image's width or height; boxes may reach beyond the edges."""

Extent = Annotated[FiniteFloat, Field(ge=0, le=3)]
"""A width or a height as a ratio of the image's."""

Text = Annotated[str, Field(min_length=1, max_length=MAX_LABEL_BYTES)]

BoxBody = tuple[Ratio, Ratio, Extent, Extent]
"""Left, top, width and height as ratios of the displayed image."""


class Body(BaseModel):
    """Base of all bodies. Unknown fields are refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class ShownBody(Body):
    """A copy of a finding, as the page showed it."""

    detection_id: int
    run_id: int
    detector: Text
    detector_version: Text
    model_version: str | None
    kind: Text
    label: str = Field(max_length=MAX_LABEL_BYTES)
    confidence: Annotated[FiniteFloat, Field(ge=0, le=1)]
    box: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None
    attributes: dict[str, Any]


class ItemBody(Body):
    """A decision about one thing."""

    decision: Literal["accept", "reject", "change", "add", "unsure"]
    kind: Text
    label: Text
    box: BoxBody | None = None
    shown: ShownBody | None = None

    @model_validator(mode="after")
    def _check_shown(self) -> "ItemBody":
        if (self.decision == "add") != (self.shown is None):
            raise ValueError("an item is either added or was shown, not both")
        return self

    def item(self) -> AnswerItem:
        """Return the item for the store. An accepted finding is saved as it was shown."""
        shown = None if self.shown is None else Shown(**self.shown.model_dump())
        if shown is None:
            return AnswerItem(self.decision, self.kind, self.label, self.box)
        if self.decision in ("accept", "reject", "unsure"):
            return AnswerItem(
                self.decision, shown.kind, shown.label, shown.box, shown, shown.attributes
            )
        return AnswerItem("change", self.kind, self.label, self.box, shown)


class SaveBody(Body):
    """A person's answer about one image.

    Attributes:
        image_id: The image.
        key: Made by the page once for each save; sending it again saves nothing twice.
        lease: The lease of the image; none where it was not leased.
        items: The decisions.
        exhaustive: Whether everything that was looked for is marked.
        seconds: How long the person looked at the image.
        adjudicates: Whether it settles the image alone.
        scope_kinds: The kinds of things that were looked for; none for all.
        scope_labels: The labels that were looked for; none for all.
    """

    image_id: UUID
    key: UUID
    lease: UUID | None = None
    items: tuple[ItemBody, ...] = Field(max_length=MAX_ITEMS)
    exhaustive: bool = False
    seconds: Annotated[FiniteFloat, Field(ge=0, le=86_400)] | None = None
    adjudicates: bool = False
    scope_kinds: tuple[str, ...] | None = None
    scope_labels: tuple[str, ...] | None = None

    def answer(self) -> Answer:
        """Return the answer as the store takes it."""
        return Answer(
            tuple(one.item() for one in self.items),
            self.exhaustive,
            Scope(self.scope_kinds, self.scope_labels),
            self.seconds,
            self.adjudicates,
        )


class SkipBody(Body):
    """An image to skip."""

    image_id: UUID
    key: UUID
    lease: UUID | None = None
    seconds: Annotated[FiniteFloat, Field(ge=0, le=86_400)] | None = None


class UndoBody(Body):
    """An answer to undo."""

    image_id: UUID
    answer_id: int
    key: UUID


class ReleaseBody(Body):
    """An image to return unanswered."""

    lease: UUID
