"""One decision about many images: previewed, applied as it was shown, and undone as one."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from pydantic import Field
from retinue_history import HistoryDataError
from retinue_history.review.bulk import BulkAct, BulkChange, apply_bulk, preview_bulk, undo_bulk
from starlette.responses import Response

from retinue_console.page import Call, Page, ParameterError
from retinue_console.queries.filters import Word
from retinue_console.queries.review import Candidates, bulk_candidates, still_candidates
from retinue_console.review.bodies import Body
from retinue_console.review.pages import QueueParameters

MAX_IMAGES = 200
"""Maximum number of images of one decision; a person has to look at each before it is made."""


class BulkParameters(QueueParameters):
    """A decision about every finding of a label in a queue's open images."""

    label: Word | None = None
    """The findings' label."""

    kind: Word = "label"
    """Their kind."""

    decision: Literal["accept", "reject", "change"] = "accept"
    """The decision about them."""

    to_label: Word | None = None
    """The label to replace it with, if the decision is ``change``."""

    detector: Word | None = None
    """Only this detector's findings."""

    min_confidence: float = Field(default=0.0, ge=0, le=1)
    """Only findings with at least this confidence."""

    max_confidence: float = Field(default=1.0, ge=0, le=1)
    """Only findings with at most this confidence."""

    applied: UUID | None = None
    """The decision that was just made, to undo it."""

    def act(self, images: tuple[UUID, ...]) -> BulkAct:
        """Return the decision about these images.

        Raises:
            ParameterError: A change needs a label, and nothing else has one.
        """
        if self.min_confidence > self.max_confidence:
            raise ParameterError("The parameter min_confidence is above max_confidence.")
        try:
            return BulkAct(
                self.queue,
                images,
                self.decision,
                self.kind,
                self.label or "",
                self.to_label,
                self.detector,
                self.min_confidence,
                self.max_confidence,
            )
        except ValueError as error:
            raise ParameterError(
                "The parameter to_label needs the decision change, and the decision change "
                "needs it."
            ) from error


@dataclass(frozen=True, slots=True)
class Bulk:
    """The data of the page.

    Attributes:
        queue: The queue's name.
        changes: Effect of the decision on each image; empty before a label is given.
        findings: Number of its findings.
        seen: The findings, to send back with the decision.
        applied: The decision that was just made.
        is_more: Whether other images have such findings too.
        stopped_early: Whether the search stopped before it had seen all, because it took long.
    """

    queue: str
    changes: list[BulkChange]
    findings: int
    seen: str
    applied: UUID | None
    is_more: bool
    stopped_early: bool


def preview(call: Call[BulkParameters]) -> Page[Bulk]:
    """Show a preview of a decision about many images, and change nothing."""
    asked = call.parameters
    changes: list[BulkChange] = []
    found = Candidates([])
    if asked.label:
        with call.database.read() as reader:
            found = bulk_candidates(reader, asked.act(()), MAX_IMAGES + 1)
            act = asked.act(tuple(found.images[:MAX_IMAGES]))
            changes = preview_bulk(reader, act, call.identity.login)
    data = Bulk(
        asked.queue,
        changes,
        sum(len(change.findings) for change in changes),
        _seen(changes),
        asked.applied,
        len(found.images) > MAX_IMAGES,
        found.stopped_early,
    )
    return Page("review/bulk.html", f"Decide about many: {asked.queue}", data)


class ApplyBody(Body):
    """A decision that was previewed.

    Attributes:
        seen: The images and findings that the preview showed.
    """

    seen: str


def apply(call: Call[BulkParameters]) -> Response:
    """Make a decision that was previewed, unless its images have other findings by now."""
    asked = call.parameters
    body: ApplyBody = call.body
    with call.services.reviews.connections() as (reader, reviewer):
        act = asked.act(_images(body.seen))
        act = asked.act(tuple(still_candidates(reader, act)))
        changes = preview_bulk(reader, act, call.identity.login)
        if not changes or _seen(changes) != body.seen:
            raise HistoryDataError(
                "the findings have changed since the preview, so nothing was decided. Preview "
                "them again"
            )
        bulk_id = apply_bulk(reviewer, asked.queue, changes, call.identity.login)
    return call.redirect(f"/review/{asked.queue}/bulk?applied={bulk_id}")


class UndoBulkParameters(QueueParameters):
    """The decision."""

    bulk_id: UUID
    """The decision's id."""


def undo(call: Call[UndoBulkParameters]) -> Response:
    """Take a decision about many images back, as a whole."""
    asked = call.parameters
    with call.services.reviews.connections() as (reader, reviewer):
        undo_bulk(reader, reviewer, asked.queue, asked.bulk_id, call.identity.login)
    return call.redirect(f"/review/{asked.queue}/bulk")


def _seen(changes: list[BulkChange]) -> str:
    """Write images and the numbers of their findings, such as ``UUID.1.2 UUID.3``."""
    return " ".join(
        ".".join([str(change.image_id), *(str(one.detection_id) for one in change.findings)])
        for change in changes
    )


def _images(seen: str) -> tuple[UUID, ...]:
    """Return the images of ``_seen``; none if it is wrong."""
    try:
        return tuple(UUID(part.partition(".")[0]) for part in seen.split()[:MAX_IMAGES])
    except ValueError:
        return ()
