"""One image with what each detector last found in it."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from psycopg import sql
from retinue_history.analysis.selection import ImageName
from retinue_history.db.snapshot import Snapshot
from retinue_sdk import BoundingBox, ConfigurationError, ImageLimits, ImageReference

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class DetectionView:
    """One detection; the fields are those of the view ``latest_detections``."""

    detector: str
    kind: str
    label: str
    confidence: float
    box: BoundingBox | None


@dataclass(frozen=True, slots=True)
class ImageView:
    """One image.

    Attributes:
        image_id: Its id.
        reference: Where it lies.
        size_px: Width and height as displayed, if known.
        uploaded_at: When S3 created it.
        deleted_at: When it was removed; none while it exists.
        others: How many other images go by the name that was asked for.
        detections: What was found by the newest successful run of each detector.
        found_nothing: Detectors whose newest successful run found nothing.
    """

    image_id: UUID
    reference: ImageReference
    size_px: tuple[int, int] | None
    uploaded_at: datetime
    deleted_at: datetime | None
    others: int
    detections: tuple[DetectionView, ...]
    found_nothing: tuple[str, ...]

    def painted(self, data: bytes, limits: ImageLimits) -> "Image":
        """The image's file with the boxes drawn on it.

        Raises:
            InvalidImageError: It cannot be decoded, or is too large.
        """
        from retinue_cli.output.draw import LabelledBox, paint

        boxes = [
            LabelledBox(
                label=one.label,
                confidence=one.confidence,
                left=one.box.left,
                top=one.box.top,
                width=one.box.width,
                height=one.box.height,
                kind=one.kind,
            )
            for one in self.detections
            if one.box is not None
        ]
        return paint(data, boxes, limits)


def find(history: Snapshot, name: ImageName) -> ImageView:
    """The newest image of a name; one that still exists before one that does not.

    Raises:
        ConfigurationError: The history has none.
        HistoryUnavailableError: The database cannot answer.
    """
    rows = list(history.rows(sql.SQL(_IMAGES).format(name.condition())))
    if not rows:
        raise ConfigurationError(
            "the history has no such image; a key must be given in full, as in: "
            "retinue query \"select s3_uri from latest_detections where key like '%cat%'\""
        )
    image_id, bucket, key, version, versioned, width_px, height_px, *rest = rows[0]
    uploaded_at, deleted_at, same_name = rest
    found = list(history.rows(sql.SQL(_DETECTIONS).format(sql.Literal(image_id))))
    return ImageView(
        image_id=image_id,
        reference=ImageReference(
            bucket,
            key,
            version_id=version if versioned else None,
            etag=None if versioned else version,
        ),
        size_px=None if width_px is None else (width_px, height_px),
        uploaded_at=uploaded_at,
        deleted_at=deleted_at,
        others=same_name - 1,
        detections=tuple(_detection(row) for row in found if row[1] is not None),
        found_nothing=tuple(row[0] for row in found if row[1] is None),
    )


def _detection(row: tuple[Any, ...]) -> DetectionView:
    detector, kind, label, confidence, left, top, width, height = row
    box = None if left is None else BoundingBox(left, top, width, height)
    return DetectionView(detector, kind, label, confidence, box)


_IMAGES = """SELECT image_id, bucket, key, version, versioned, width_px, height_px, uploaded_at,
    deleted_at, count(*) OVER ()
FROM images
WHERE {}
ORDER BY deleted_at IS NULL DESC, last_uploaded_at DESC, image_id
LIMIT 1"""

# Not from the view latest_detections: it passes over images that are gone, and empty runs.
_DETECTIONS = """SELECT newest.detector, detections.kind, detections.label, detections.confidence,
    box_left, box_top, box_width, box_height
FROM (
    SELECT DISTINCT ON (detector) detector, run_id
    FROM runs
    WHERE image_id = {} AND outcome = 'succeeded'
    ORDER BY detector, started_at DESC, run_id DESC
) AS newest
LEFT JOIN detections ON detections.run_id = newest.run_id
ORDER BY newest.detector, detections.confidence DESC, detections.ordinal"""
