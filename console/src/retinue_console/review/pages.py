"""The list of queues, and the page on which a person reviews one image after the other."""

import csv
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from pydantic import Field
from retinue_history import HistoryDataError
from retinue_history.analysis.selection import Selection
from retinue_history.db.connections import Connection
from retinue_history.review.agreement import Agreement, agreement
from retinue_history.review.answer import Shown
from retinue_history.review.answers import (
    CORRECTIONS,
    StandingAnswer,
    answers_of,
    findings_of,
    next_task,
    release,
    save_answer,
    skip,
    undo,
    upcoming,
)
from retinue_history.review.queues import (
    MAX_SIZE,
    Queue,
    QueueDefinition,
    Strategy,
    close_queue,
    create_queue,
    queues,
)
from retinue_history.review.truth import Scope
from retinue_sdk import Media, media_of
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from retinue_console.access.identity import Right
from retinue_console.access.people import FACE_MATCH
from retinue_console.page import Call, NotFoundError, Page, ParameterError, Parameters
from retinue_console.queries.review import (
    ReviewedImage,
    SuggestedLabel,
    reviewed_image,
    suggested_labels,
)
from retinue_console.review.bodies import (
    Body,
    ReleaseBody,
    SaveBody,
    SkipBody,
    UndoBody,
)


@dataclass(frozen=True, slots=True)
class Queues:
    """The data of the list of queues.

    Attributes:
        queues: All queues, the newest first.
        can_review: Whether answers can be saved: a login for that is set.
        corrections: The name of the queue of corrections, which every history has.
    """

    queues: list[Queue]
    can_review: bool
    corrections: str = CORRECTIONS


def list_queues(call: Call[Parameters]) -> Page[Queues]:
    """List the queues with their progress."""
    with call.database.read() as reader:
        found = queues(reader)
    return Page(
        "review/queues.html", "Review", Queues(found, call.services.reviews.is_set), rows=found
    )


_List: TypeAlias = Annotated[str, Field(max_length=100_000)]


class QueueBody(Body):
    """A queue to make, as the form sends it."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    strategy: Strategy = "uncertain"
    size: int = Field(default=200, ge=1, le=MAX_SIZE)
    detector: _List = ""
    label: _List = ""
    prefix: str = ""
    min_confidence: float = Field(default=0.0, ge=0, le=1)
    kinds: _List = ""
    labels: _List = ""
    overlap: int = Field(default=1, ge=1, le=10)
    blind: bool = False
    gold: str = ""
    gold_share: float = Field(default=0.05, ge=0, le=1)
    audit_share: float = Field(default=0.1, ge=0, le=1)

    def definition(self) -> QueueDefinition:
        """Return the queue as the store takes it."""
        return QueueDefinition(
            self.name,
            Selection(
                detectors=_listed(self.detector),
                labels=_listed(self.label),
                min_confidence=self.min_confidence or None,
                prefix=self.prefix or None,
            ),
            self.strategy,
            self.size,
            Scope(_listed(self.kinds) or None, _listed(self.labels) or None),
            self.overlap,
            self.blind,
            self.gold or None,
            self.gold_share,
            self.audit_share,
        )


def _listed(text: str) -> tuple[str, ...]:
    """Return the parts of a list that commas separate; one with a comma is in double quotes."""
    [parts] = csv.reader([" ".join(text.splitlines())], skipinitialspace=True)
    return tuple(part for each in parts if (part := each.strip()))


def make_queue(call: Call[Parameters]) -> Response:
    """Choose the images of a queue, and make it."""
    body: QueueBody = call.body
    try:
        with call.services.reviews.connections() as (reader, reviewer):
            create_queue(reader, reviewer, body.definition(), call.identity.login)
    except HistoryDataError as error:
        raise ParameterError(f"The queue wasn't made: {error}.") from error
    return call.redirect(f"/review/{body.name}")


class QueueParameters(Parameters):
    """The queue."""

    queue: str
    """The queue's name."""


def end_queue(call: Call[QueueParameters]) -> Response:
    """Close a queue. It leases no more images."""
    with call.services.reviews.connections() as (_, reviewer):
        close_queue(reviewer, call.parameters.queue, call.identity.login)
    return call.redirect("/review")


class TaskParameters(QueueParameters):
    """The queue, and one of its images."""

    image: UUID | None = None
    """This image, whether or not it is the next; by default, the next one."""

    adjudicate: bool = False
    """Images about which people disagreed."""


@dataclass(frozen=True, slots=True)
class ReviewTask:
    """An image to review.

    Attributes:
        queue: The queue's name.
        image: The image.
        lease: The lease, to send back with the answer; ``None`` if the image was asked for.
        expires_at: When others may get the image; a later answer is kept anyway.
        scope: The labels to look for.
        shown: The findings to decide about, those that cover most of the image last.
        others: For an adjudicator, the answers of others.
        mine: The person's own answer of before, if it counts.
        adjudicates: Whether the answer settles the image alone.
    """

    queue: str
    image: ReviewedImage
    lease: UUID | None
    expires_at: datetime | None
    scope: Scope
    shown: tuple[Shown, ...]
    others: tuple[StandingAnswer, ...]
    mine: StandingAnswer | None
    adjudicates: bool


@dataclass(frozen=True, slots=True)
class Review:
    """The data of the page on which a person reviews.

    Attributes:
        queue: The queue.
        task: The image; ``None`` if nothing is left for this person now.
        upcoming: Images that probably come next, to load their pictures ahead.
        labels: Labels to suggest, those of the scope or else the most frequent first.
    """

    queue: Queue
    task: ReviewTask | None
    upcoming: list[UUID]
    labels: list[SuggestedLabel]


def review(call: Call[TaskParameters]) -> Page[Review]:
    """Show the next image of a queue, or the named image, with its findings."""
    asked = call.parameters
    person = call.identity.login
    _check_adjudicates(call, adjudicates=asked.adjudicate)
    with call.services.reviews.connections() as (reader, reviewer):
        queue = _queue(reader, asked.queue)
        if asked.image is not None:
            task: ReviewTask | None = _asked_for(reader, queue, asked, asked.image, person)
        else:
            task = _next(reader, reviewer, asked, person)
        ahead = [] if asked.image is not None else upcoming(reader, queue.name, person, 4)
        labels = suggested_labels(reader, queue.scope)
    if task is not None and not call.identity.may(Right.ADMIN):
        # An answer is saved as it was shown, so people's ids can't be replaced here.
        shown = tuple(one for one in task.shown if one.kind != FACE_MATCH)
        task = replace(task, shown=shown)
    here = None if task is None else task.image.image_id
    data = Review(queue, task, [one for one in ahead if one != here][:3], labels)
    return Page("review/task.html", f"Review: {queue.name}", data)


def _check_adjudicates(call: Call[Any], *, adjudicates: bool) -> None:
    if adjudicates and not call.identity.may(Right.ADMIN):
        raise HTTPException(403, "Only admins decide about images on which people disagree.")


def _queue(reader: Connection, name: str) -> Queue:
    for queue in queues(reader, name):
        return queue
    raise NotFoundError(f"There is no queue named {name}.")


def _next(
    reader: Connection, reviewer: Connection, asked: TaskParameters, person: str
) -> ReviewTask | None:
    task = next_task(reader, reviewer, asked.queue, person, adjudicate=asked.adjudicate)
    if task is None:
        return None
    image = reviewed_image(reader, task.image_id)
    if image is None:
        raise NotFoundError("This image has been erased. Reload for the next one.")
    return ReviewTask(
        task.queue,
        image,
        task.lease_id,
        task.expires_at,
        task.scope,
        task.shown,
        task.others,
        None,
        asked.adjudicate,
    )


def _asked_for(
    reader: Connection, queue: Queue, asked: TaskParameters, image_id: UUID, person: str
) -> ReviewTask:
    image = reviewed_image(reader, image_id)
    if image is None:
        raise NotFoundError(f"There is no image {image_id}.")
    _check_still(image)
    answers = answers_of(reader, image_id, queue.name)
    mine = [one for one in answers if one.person == person and not one.skipped]
    return ReviewTask(
        queue.name,
        image,
        None,
        None,
        queue.scope,
        () if queue.blind else findings_of(reader, image_id, queue.scope, queue.detectors),
        tuple(answers) if asked.adjudicate else (),
        mine[-1] if mine else None,
        asked.adjudicate,
    )


def _check_still(image: ReviewedImage) -> None:
    """Refuse a video: an answer is about one picture.

    Raises:
        ParameterError: The image is a video.
    """
    if media_of(image.key) is Media.VIDEO:
        raise ParameterError(
            f"{image.key} is a video, and only images can be reviewed. Its page, "
            f"/videos/{image.image_id}, shows what was found at which time."
        )


def save(call: Call[QueueParameters]) -> Response:
    """Save an answer. The same key saves nothing twice."""
    body: SaveBody = call.body
    _check_adjudicates(call, adjudicates=body.adjudicates)
    with call.services.reviews.connections() as (reader, reviewer):
        image = reviewed_image(reader, body.image_id)
        if image is not None:
            _check_still(image)
        saved = save_answer(
            reviewer,
            call.parameters.queue,
            body.image_id,
            call.identity.login,
            body.answer(),
            key=body.key,
            lease=body.lease,
        )
    return JSONResponse(asdict(saved))


def pass_over(call: Call[QueueParameters]) -> Response:
    """Skip an image: this person doesn't get it again."""
    body: SkipBody = call.body
    with call.services.reviews.connections() as (_, reviewer):
        saved = skip(
            reviewer,
            call.parameters.queue,
            body.image_id,
            call.identity.login,
            key=body.key,
            lease=body.lease,
            seconds=body.seconds,
        )
    return JSONResponse(asdict(saved))


def take_back(call: Call[QueueParameters]) -> Response:
    """Undo one of one's own answers."""
    body: UndoBody = call.body
    with call.services.reviews.connections() as (_, reviewer):
        undone = undo(
            reviewer,
            call.parameters.queue,
            body.image_id,
            call.identity.login,
            body.answer_id,
            key=body.key,
        )
    return JSONResponse({"undone": undone})


def give_back(call: Call[QueueParameters]) -> Response:
    """Return an image unanswered, so that others get it now."""
    body: ReleaseBody = call.body
    with call.services.reviews.connections() as (_, reviewer):
        released = release(reviewer, body.lease, call.identity.login)
    return JSONResponse({"released": released})


def show_agreement(call: Call[QueueParameters]) -> Page[Agreement]:
    """Show the agreement between people, by label and by person."""
    with call.database.read() as reader:
        queue = _queue(reader, call.parameters.queue)
        found = agreement(reader, queue.name)
    return Page("review/agreement.html", f"Agreement: {queue.name}", found)
