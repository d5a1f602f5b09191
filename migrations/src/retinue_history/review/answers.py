"""Collect people's answers about images: lease images, save answers, undo them.

The reviewer's connection calls the functions of ``schema/sql/review.sql`` and can read nothing. The
reader's connection reads. Both can be the same where the login is the owner.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from retinue_history.db.connections import Connection
from retinue_history.db.error_mapping import map_errors
from retinue_history.recording.records import Box
from retinue_history.review.answer import Answer, Shown, item_of_row
from retinue_history.review.settling import Settled, Statement, settle_answers
from retinue_history.review.truth import EVERYTHING, Scope

LEASE_SECONDS = 600.0
"""Default duration of a lease on an image."""

CORRECTIONS = "corrections"
"""The queue of single corrections; every history has it."""


@dataclass(frozen=True, slots=True)
class StandingAnswer:
    """An answer that counts.

    Attributes:
        answer_id: Its number, for ``undo``.
        queue: The queue's name.
        image_id: The image.
        person: The login of the person who answered.
        skipped: Whether the person skipped the image; then the answer is empty.
        answer: The person's answer.
        bulk_id: The decision about many images that it is part of.
        late: Whether the person's lease had ended.
        answered_at: When it came.
    """

    answer_id: int
    queue: str
    image_id: UUID
    person: str
    skipped: bool
    answer: Answer
    bulk_id: UUID | None
    late: bool
    answered_at: datetime


@dataclass(frozen=True, slots=True)
class Task:
    """An image to answer.

    Attributes:
        queue: The queue's name.
        image_id: The image.
        lease_id: The lease; pass it with the answer.
        expires_at: When others may get the image. A later answer is kept anyway.
        scope: The labels to look for.
        shown: The findings to decide about, those that cover most of the image last; none in a
            blind queue.
        others: For an adjudicator, the answers of others; else none.
    """

    queue: str
    image_id: UUID
    lease_id: UUID
    expires_at: datetime
    scope: Scope
    shown: tuple[Shown, ...]
    others: tuple[StandingAnswer, ...] = ()


@dataclass(frozen=True, slots=True)
class Saved:
    """The outcome of a save. The answer is kept in every case.

    Attributes:
        answer_id: The answer's number.
        repeated: The same answer came before with the same key; nothing was added.
        late: The person's lease had ended.
        was_settled: The image was settled before, by other answers or an earlier one.
        state: The image now: open, settled or disputed.
    """

    answer_id: int
    repeated: bool
    late: bool
    was_settled: bool
    state: Literal["open", "settled", "disputed"]


def next_task(
    reader: Connection,
    reviewer: Connection,
    queue: str,
    person: str,
    *,
    lease_seconds: float = LEASE_SECONDS,
    adjudicate: bool = False,
) -> Task | None:
    """Lease the next image of a queue, and return it with its findings.

    A person who holds an image gets the same one again, and its lease is extended.

    Args:
        reader: A reader's connection.
        reviewer: A reviewer's connection.
        queue: The queue's name.
        person: The person's login.
        lease_seconds: How long the image is withheld from others.
        adjudicate: Take an image about which people disagreed.

    Returns:
        ``None`` if nothing is left for this person now.

    Raises:
        HistoryDataError: There is no such queue.
        HistoryUnavailableError: The database can't answer.
    """
    with map_errors():
        row = reviewer.execute(
            "SELECT * FROM lease_next_image(%s, %s, %s, %s)",
            [queue, person, lease_seconds, adjudicate],
        ).fetchone()
        if row is None:
            return None
        lease_id, image_id, _, expires_at = row
        [(kinds, labels, detectors, blind)] = reader.execute(
            "SELECT scope_kinds, scope_labels, detectors, blind FROM review_queues WHERE name = %s",
            [queue],
        ).fetchall()
    scope = Scope.of_row(kinds, labels)
    return Task(
        queue,
        image_id,
        lease_id,
        expires_at,
        scope,
        () if blind else findings_of(reader, image_id, scope, detectors),
        tuple(answers_of(reader, image_id, queue)) if adjudicate else (),
    )


def upcoming(reader: Connection, queue: str, person: str, number: int = 3) -> list[UUID]:
    """Return the images that a person will probably get next, to preload their pictures.

    Args:
        reader: A reader's connection.
        queue: The queue's name.
        person: The person's login.
        number: Number of images.
    """
    with map_errors():
        rows = reader.execute(_UPCOMING, {"queue": queue, "person": person, "number": number})
        return [image_id for (image_id,) in rows]


def findings_of(
    reader: Connection,
    image_id: UUID,
    scope: Scope = EVERYTHING,
    detectors: Sequence[str] | None = None,
) -> tuple[Shown, ...]:
    """Return the detections of an image's latest runs, in the form to show them.

    Args:
        reader: A reader's connection.
        image_id: The image.
        scope: Return only findings within it.
        detectors: Only of these; ``None`` for all.
    """
    return findings_by_image(reader, [image_id], scope, detectors)[image_id]


def findings_by_image(
    reader: Connection,
    image_ids: Sequence[UUID],
    scope: Scope = EVERYTHING,
    detectors: Sequence[str] | None = None,
) -> dict[UUID, tuple[Shown, ...]]:
    """Return the same for many images, in one query."""
    found: dict[UUID, list[Shown]] = {image_id: [] for image_id in image_ids}
    with map_errors():
        rows = reader.execute(
            _FINDINGS,
            {
                "image_ids": list(found),
                "detectors": None if detectors is None else list(detectors),
                "kinds": None if scope.kinds is None else list(scope.kinds),
                "labels": None if scope.labels is None else list(scope.labels),
            },
        ).fetchall()
    for image_id, *row in rows:
        found[image_id].append(Shown(*[*row[:8], _box(*row[8:12]), row[12]]))
    return {image_id: tuple(shown) for image_id, shown in found.items()}


def _box(left: float | None, top: float, width: float, height: float) -> Box | None:
    return None if left is None else (left, top, width, height)


def save_answer(
    reviewer: Connection,
    queue: str,
    image_id: UUID,
    person: str,
    answer: Answer,
    *,
    key: UUID,
    lease: UUID | None = None,
    bulk_id: UUID | None = None,
) -> Saved:
    """Save an answer, and settle the image if enough people agree.

    Nothing that was entered is lost: an answer whose lease has ended, or to an image that others
    have settled, is kept, and ``Saved`` says which it was. The same key with the same answer adds
    nothing; ``seconds`` may differ.

    Args:
        reviewer: A reviewer's connection.
        queue: The queue's name. An image that the queue doesn't have is added to it.
        image_id: The image.
        person: The person's login.
        answer: The person's answer.
        key: Idempotency key: made by the page, one for each save.
        lease: The task's lease; ``None`` if the image was not leased.
        bulk_id: The decision about many images that it is part of.

    Raises:
        HistoryDataError: There is no such queue or image, the key was used for another answer, or
            a value is invalid. Nothing was saved.
        HistoryUnavailableError: The database can't answer; save again with the same key.
    """
    return _save(
        reviewer,
        queue,
        image_id,
        person,
        {
            **answer.scope.as_json(),
            "verdict": "answered",
            "exhaustive": answer.exhaustive,
            "adjudicates": answer.adjudicates,
            "seconds": answer.seconds,
            "bulk_id": None if bulk_id is None else str(bulk_id),
            "items": [item.as_json() for item in answer.items],
        },
        key=key,
        lease=lease,
    )


def skip(
    reviewer: Connection,
    queue: str,
    image_id: UUID,
    person: str,
    *,
    key: UUID,
    lease: UUID | None = None,
    seconds: float | None = None,
) -> Saved:
    """Pass an image over: this person does not get it again. Arguments as for ``save_answer``."""
    empty: dict[str, Any] = {
        "verdict": "skipped",
        "exhaustive": False,
        "adjudicates": False,
        "seconds": seconds,
        "items": [],
    }
    return _save(reviewer, queue, image_id, person, empty, key=key, lease=lease)


def _save(
    reviewer: Connection,
    queue: str,
    image_id: UUID,
    person: str,
    answer: dict[str, Any],
    *,
    key: UUID,
    lease: UUID | None,
) -> Saved:
    with map_errors(), reviewer.transaction():
        [saved] = reviewer.execute(
            "SELECT * FROM save_review_answer(%s, %s, %s, %s, %s, %s)",
            [queue, image_id, person, key, lease, Jsonb(answer)],
        ).fetchall()
        return Saved(*[*saved, settle(reviewer, queue, image_id, person)])


def undo(
    reviewer: Connection,
    queue: str,
    image_id: UUID,
    person: str,
    answer_id: int,
    *,
    key: UUID | None = None,
) -> bool:
    """Take an answer of one's own back, by another row, and settle the image again.

    Returns:
        False if it was undone already.

    Raises:
        HistoryDataError: The person has no such answer.
    """
    with map_errors(), reviewer.transaction():
        row = reviewer.execute(
            "SELECT undo_review_answer(%s, %s, %s)", [answer_id, person, key or uuid4()]
        ).fetchone()
        settle(reviewer, queue, image_id, person)
        return bool(row and row[0])


def release(reviewer: Connection, lease_id: UUID, person: str) -> bool:
    """Release an image without an answer, so that others get it now.

    Returns:
        False if the person no longer holds it.
    """
    with map_errors():
        row = reviewer.execute("SELECT release_lease(%s, %s)", [lease_id, person]).fetchone()
    return bool(row and row[0])


def settle(
    reviewer: Connection, queue: str, image_id: UUID, person: str
) -> Literal["open", "settled", "disputed"]:
    """Settle an image from its standing answers; ``save_answer`` and ``undo`` do so.

    Args:
        reviewer: A reviewer's connection.
        queue: The queue's name.
        image_id: The image.
        person: The login of the person who caused it, for the audit log.

    Returns:
        The image's state: open, settled or disputed.
    """
    with map_errors(), reviewer.transaction():
        [(review,)] = reviewer.execute("SELECT read_review(%s, %s)", [queue, image_id]).fetchall()
        outcome = settle_answers([_statement(one) for one in review["answers"]], review["overlap"])
        truth = None
        if isinstance(outcome, Settled) and review["role"] != "gold":
            truth = Jsonb({**outcome.as_json(), "propensity": review["propensity"]})
        reviewer.execute(
            "SELECT settle_review(%s, %s, %s, %s, %s, %s)",
            [queue, image_id, person, outcome.state, outcome.wanted, truth],
        )
    return outcome.state


def answers_of(
    reader: Connection, image_id: UUID, queue: str | None = None
) -> list[StandingAnswer]:
    """Return the answers to an image that count, in the order in which they came.

    Args:
        reader: A reader's connection.
        image_id: The image.
        queue: Only those of this queue.
    """
    return answers_to_images(reader, [image_id], queue)


def answers_to_images(
    reader: Connection, image_ids: Sequence[UUID], queue: str | None = None
) -> list[StandingAnswer]:
    """Return the same for many images, in one query."""
    with map_errors():
        rows = reader.execute(_STANDING, [list(image_ids), queue, queue])
        return [_standing(*row) for row in rows]


def _standing(answer: dict[str, Any], answered_at: datetime) -> StandingAnswer:
    return StandingAnswer(
        answer["answer_id"],
        answer["queue"],
        UUID(answer["image_id"]),
        answer["person"],
        answer["verdict"] == "skipped",
        Answer(
            tuple(item_of_row(one) for one in answer["items"]),
            answer["exhaustive"],
            Scope.of_row(answer["scope_kinds"], answer["scope_labels"]),
            answer["seconds"],
            answer["adjudicates"],
        ),
        None if answer["bulk_id"] is None else UUID(answer["bulk_id"]),
        answer["late"],
        answered_at,
    )


def _statement(answer: dict[str, Any]) -> Statement:
    scope = Scope.of_row(answer["scope_kinds"], answer["scope_labels"])
    return Statement(
        answer["person"],
        tuple(item_of_row(one) for one in answer["items"]),
        answer["exhaustive"],
        scope,
        adjudicates=answer["adjudicates"],
        bulk=answer["bulk_id"] is not None,
    )


# OFFSET 0 makes it a lookup for each image.
_FINDINGS = """
    SELECT
        found.image_id, detection_id, run_id, detector, detector_version, model_version, kind,
        label, confidence, box_left, box_top, box_width, box_height, attributes
    FROM unnest(%(image_ids)s::uuid[]) AS asked (image_id)
    CROSS JOIN LATERAL (
        SELECT * FROM latest_detections
        WHERE image_id = asked.image_id
            AND (%(detectors)s::text[] IS NULL OR detector = ANY (%(detectors)s))
            AND (%(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s))
            AND (%(labels)s::text[] IS NULL OR label = ANY (%(labels)s))
        OFFSET 0
    ) AS found
    ORDER BY coalesce(box_width * box_height, 1), detector, ordinal
"""

# The subquery, unlike a join, leaves the images in the order of their index.
_UPCOMING = """
    SELECT waiting.image_id
    FROM review_images AS waiting
    WHERE waiting.queue_id = (SELECT queue_id FROM review_queues WHERE name = %(queue)s)
        AND waiting.state = 'open'
        AND NOT EXISTS (
            SELECT FROM standing_answers AS mine
            WHERE mine.queue_id = waiting.queue_id AND mine.image_id = waiting.image_id
                AND mine.person = %(person)s
        )
        AND NOT EXISTS (
            SELECT FROM review_leases AS held JOIN review_queues AS queue USING (queue_id)
            WHERE held.queue_id = waiting.queue_id AND held.image_id = waiting.image_id
                AND held.expires_at > now() AND (queue.overlap = 1 OR held.person = %(person)s)
        )
    ORDER BY waiting.place
    LIMIT %(number)s
"""

_STANDING = """
    SELECT
        to_jsonb(standing) || jsonb_build_object('items', coalesce((
            SELECT jsonb_agg(to_jsonb(item) ORDER BY item.ordinal)
            FROM answer_items AS item WHERE item.answer_id = standing.answer_id
        ), '[]')),
        standing.answered_at
    FROM standing_answers AS standing
    WHERE standing.image_id = ANY (%s) AND (%s::text IS NULL OR standing.queue = %s)
    ORDER BY standing.answer_id
"""
