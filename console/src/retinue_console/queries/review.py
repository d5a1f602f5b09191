"""Read the facts that the review page shows beside the findings."""

from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row
from retinue_history.db.connections import Connection
from retinue_history.review.answers import CORRECTIONS
from retinue_history.review.bulk import BulkAct
from retinue_history.review.truth import Scope

from retinue_console.queries import gallery
from retinue_console.queries.filters import Filters, compare
from retinue_console.queries.reading import fetch_within

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


def bulk_candidates(reader: Connection, act: BulkAct, limit: int) -> list[UUID]:
    """Return images with findings that a decision is about: a queue's open ones, in its order.

    The queue of corrections takes any image, the newest findings first.

    Args:
        reader: A reader's connection.
        act: The decision, for all its images.
        limit: Maximum number of images.
    """
    if act.queue == CORRECTIONS:
        filters = Filters(
            label=act.label,
            kind=act.kind,
            detector=act.detector,
            min_confidence=act.min_confidence,
            max_confidence=act.max_confidence,
        )
        found = gallery.image_ids(reader, filters, wanted=limit)
        videos = {row[0] for row in reader.execute(_VIDEOS, [found])}  # they have no single picture
        return [image_id for image_id in found if image_id not in videos]
    rows = reader.execute(
        _OPEN_WITH,
        {
            "queue": act.queue,
            "kind": act.kind,
            "label": act.label,
            "detector": act.detector,
            "low": act.min_confidence,
            "high": act.max_confidence,
            "limit": limit,
        },
    )
    return [image_id for (image_id,) in rows]


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

_OPEN_WITH = """
    SELECT place.image_id
    FROM review_images AS place
    WHERE place.queue_id = (
            SELECT queue_id FROM review_queues WHERE name = %(queue)s AND closed_at IS NULL
        )
        AND place.state = 'open'
        AND EXISTS (
            SELECT FROM latest_detections AS found
            WHERE found.image_id = place.image_id
                AND found.kind = %(kind)s AND found.label = %(label)s
                AND found.confidence BETWEEN %(low)s AND %(high)s
                AND (%(detector)s::text IS NULL OR found.detector = %(detector)s)
            OFFSET 0  -- makes it a lookup for each image
        )
    ORDER BY place.place LIMIT %(limit)s
"""

_VIDEOS = "SELECT image_id FROM videos WHERE image_id = ANY (%s)"
