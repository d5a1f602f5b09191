"""Read the facts that the review page shows beside the findings."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from retinue_history.db.connections import Connection
from retinue_history.review.answers import CORRECTIONS
from retinue_history.review.bulk import BulkAct
from retinue_history.review.truth import Scope

from retinue_console.queries import gallery
from retinue_console.queries.cursor import Cursor
from retinue_console.queries.filters import Filters, compare
from retinue_console.queries.reading import fetch_within
from retinue_console.queries.walk import PATIENCE_SECONDS

MAX_LABELS = 300
"""Maximum number of labels that are suggested."""


@dataclass(frozen=True, slots=True)
class ReviewedImage:
    """An image that a person looks at.

    Attributes:
        image_id: Its id.
        bucket: Its bucket.
        key: Its key.
        width_px: Its width as displayed; ``None`` if no detector has decoded it.
        height_px: Its height.
        is_deleted: Whether the object is gone.
    """

    image_id: UUID
    bucket: str
    key: str
    width_px: int | None
    height_px: int | None
    is_deleted: bool


def reviewed_image(reader: Connection, image_id: UUID) -> ReviewedImage | None:
    """Return an image, or ``None`` if the history doesn't have it."""
    row = reader.execute(_IMAGE, [image_id]).fetchone()
    return None if row is None else ReviewedImage(*row)


@dataclass(frozen=True, slots=True)
class OpenQueue:
    """An open queue.

    Attributes:
        name: Its name.
        left: Number of its images that need answers.
        mine: Number of images that the person has answered.
    """

    name: str
    left: int
    mine: int


def open_queues(reader: Connection, person: str) -> list[OpenQueue] | None:
    """Return the newest open queues.

    Returns:
        ``None`` if it takes too long to count.
    """
    return fetch_within(reader, compare(_OPEN_QUEUES, person), class_row(OpenQueue))


@dataclass(frozen=True, slots=True)
class SuggestedLabel:
    """A label to suggest.

    Attributes:
        label: The label.
        kind: The kind with which detectors find it.
    """

    label: str
    kind: str


def suggested_labels(reader: Connection, scope: Scope) -> list[SuggestedLabel]:
    """Return the labels of a scope, or else those that were found in the last week of detections.

    The most frequent ones of the week come first.
    """
    if scope.labels is None:
        rows = reader.execute(_LABELS, [MAX_LABELS])
    else:
        rows = reader.execute(_LABELS_OF_SCOPE, [list(scope.labels)])
    return [SuggestedLabel(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The images that a decision about many is about.

    Attributes:
        images: The images.
        stopped_early: Whether the search stopped before there were enough, because it took long.
    """

    images: list[UUID]
    stopped_early: bool = False


def bulk_candidates(reader: Connection, act: BulkAct, limit: int) -> Candidates:
    """Return images with findings that a decision is about: a queue's open ones, in its order.

    The queue of corrections takes any image, the newest findings first, unless all of its findings
    are decided there.

    Args:
        reader: A reader's connection.
        act: The decision, for all its images.
        limit: Maximum number of images.
    """
    if act.queue != CORRECTIONS:
        return Candidates(_open_with(reader, act, None, limit))
    filters = Filters(
        label=act.label,
        kind=act.kind,
        detector=act.detector,
        min_confidence=act.min_confidence,
        max_confidence=act.max_confidence,
    )
    found: list[UUID] = []
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        page = gallery.image_ids(reader, filters, wanted=limit)
        found += _undecided(reader, act, page.rows)
        if page.next is None or len(found) >= limit:
            return Candidates(found[:limit], page.stopped_early and len(found) < limit)
        if page.stopped_early or time.monotonic() > end:
            return Candidates(found, stopped_early=True)
        filters = filters.model_copy(update={"after": Cursor.parse(page.next)})


def still_candidates(reader: Connection, act: BulkAct) -> list[UUID]:
    """Return those of a decision's images that it can still be made about, in its order."""
    if act.queue == CORRECTIONS:
        return _undecided(reader, act, act.images)
    return _open_with(reader, act, act.images, len(act.images))


def _open_with(
    reader: Connection, act: BulkAct, among: Sequence[UUID] | None, limit: int
) -> list[UUID]:
    """Return a queue's open images with such findings, in its order."""
    given = {**_about(act), "queue": act.queue, "limit": limit}
    given["among"] = None if among is None else list(among)
    return [image_id for (image_id,) in reader.execute(_OPEN_WITH, given)]


def _undecided(reader: Connection, act: BulkAct, among: Sequence[UUID]) -> list[UUID]:
    """Return the images in which such a finding isn't decided in the queue of corrections.

    Videos, which have no single picture, are left out.
    """
    given = {**_about(act), "queue": CORRECTIONS, "among": list(among)}
    return [image_id for (image_id,) in reader.execute(_UNDECIDED, given)]


def _about(act: BulkAct) -> dict[str, Any]:
    return {
        "kind": act.kind,
        "label": act.label,
        "detector": act.detector,
        "low": act.min_confidence,
        "high": act.max_confidence,
    }


_OPEN_QUEUES = """SELECT queue.name, counted.left, (
        SELECT count(*)
        FROM standing_answers AS mine
        WHERE mine.queue_id = queue.queue_id AND mine.person = {} AND mine.verdict = 'answered'
    ) AS mine
FROM review_queues AS queue
CROSS JOIN LATERAL (
    SELECT count(*) AS left
    FROM review_images AS place
    WHERE place.queue_id = queue.queue_id AND place.state = 'open'
) AS counted
WHERE queue.closed_at IS NULL AND counted.left > 0
ORDER BY queue.created_at DESC, queue.queue_id DESC
LIMIT 3"""

_IMAGE = """
    SELECT image_id, bucket, key, width_px, height_px, deleted_at IS NOT NULL
    FROM images WHERE image_id = %s
"""

_LABELS = """
    SELECT label, (array_agg(kind ORDER BY detections DESC, kind))[1]
    FROM (
        SELECT label, kind, sum(detections) AS detections
        FROM label_counts
        WHERE day > (SELECT max(day) FROM label_counts) - 7 AND label <> ''
            AND model_version IS DISTINCT FROM 'emulator'
        GROUP BY label, kind
        HAVING sum(detections) > 0
    ) AS counted
    GROUP BY label
    ORDER BY sum(detections) DESC, label
    LIMIT %s
"""

_LABELS_OF_SCOPE = """
    SELECT wanted.label, coalesce(counted.kind, 'label')
    FROM unnest(%s::text[]) WITH ORDINALITY AS wanted (label, place)
    LEFT JOIN LATERAL (
        SELECT kind
        FROM labels
        WHERE labels.label = wanted.label
        ORDER BY kind <> 'label', kind
        LIMIT 1
    ) AS counted ON true
    ORDER BY wanted.place
"""

_MATCHES = """
    found.kind = %(kind)s AND found.label = %(label)s
    AND found.confidence BETWEEN %(low)s AND %(high)s
    AND (%(detector)s::text IS NULL OR found.detector = %(detector)s)
"""

# OFFSET 0 makes it a lookup for each image.
_OPEN_WITH = f"""
    SELECT place.image_id
    FROM review_images AS place
    WHERE place.queue_id = (
            SELECT queue_id FROM review_queues WHERE name = %(queue)s AND closed_at IS NULL
        )
        AND place.state = 'open'
        AND (%(among)s::uuid[] IS NULL OR place.image_id = ANY (%(among)s))
        AND EXISTS (
            SELECT FROM latest_detections AS found
            WHERE found.image_id = place.image_id AND {_MATCHES}
            OFFSET 0
        )
    ORDER BY place.place LIMIT %(limit)s
"""  # noqa: S608 - ours

_UNDECIDED = f"""
    SELECT asked.image_id
    FROM unnest(%(among)s::uuid[]) WITH ORDINALITY AS asked (image_id, place)
    WHERE NOT EXISTS (SELECT FROM videos WHERE videos.image_id = asked.image_id)
        AND EXISTS (
            SELECT FROM latest_detections AS found
            WHERE found.image_id = asked.image_id AND {_MATCHES}
                AND NOT EXISTS (
                    SELECT FROM standing_answers AS standing
                    JOIN answer_items AS item ON item.answer_id = standing.answer_id
                    WHERE standing.image_id = asked.image_id AND standing.queue = %(queue)s
                        AND (item.shown ->> 'detection_id')::bigint = found.detection_id
                )
            OFFSET 0
        )
    ORDER BY asked.place
"""  # noqa: S608 - ours
