"""What the review page shows beside the findings."""

from dataclasses import dataclass
from uuid import UUID

from retinue_history.db.connections import Connection

MAX_LABELS = 300
"""Most labels that are suggested."""


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


def suggested_labels(reader: Connection) -> list[str]:
    """Return the labels that were found or marked in the last 30 days, the most frequent first."""
    return [label for (label,) in reader.execute(_LABELS, [MAX_LABELS])]


_IMAGE = """
    SELECT image_id, bucket, key, width_px, height_px, deleted_at IS NOT NULL
    FROM images WHERE image_id = %s
"""

_LABELS = """
    SELECT label
    FROM label_counts_daily
    WHERE day > (now() AT TIME ZONE 'UTC')::date - 30 AND label <> ''
    GROUP BY label
    ORDER BY sum(detections) DESC, label
    LIMIT %s
"""
