"""An image with the findings of each detector."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from psycopg import sql
from retinue_history.analysis.selection import LATEST_FIRST, ImageName
from retinue_history.db.snapshot import Snapshot
from retinue_sdk import BoundingBox, ConfigurationError, ImageLimits, ImageReference

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_KEYS = 10
"""Maximum number of keys that are listed if a part of a key is ambiguous."""


@dataclass(frozen=True, slots=True)
class DetectionView:
    """One detection, with the fields of the view ``latest_detections``."""

    detector: str
    model_version: str | None
    kind: str
    label: str
    confidence: float
    box: BoundingBox | None


@dataclass(frozen=True, slots=True)
class UnsuccessfulRun:
    """A detector without a successful run on the image: its newest attempt.

    Attributes:
        detector: The detector's name.
        outcome: ``failed`` or ``skipped``.
        code: The reason's code.
        reason: The reason as text.
    """

    detector: str
    outcome: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImageView:
    """One image.

    Attributes:
        image_id: Its id.
        reference: The image's identity.
        etag: The object's ETag, if known.
        size_bytes: The object's size, if known.
        size_px: Width and height as displayed, if known.
        uploaded_at: When S3 created it.
        deleted_at: When it was removed; ``None`` while it exists.
        others: Number of other images with the given name.
        detections: The findings of the latest run of each detector.
        found_nothing: Detectors whose latest run found nothing.
        unsuccessful: Detectors without a successful run.
    """

    image_id: UUID
    reference: ImageReference
    etag: str | None
    size_bytes: int | None
    size_px: tuple[int, int] | None
    uploaded_at: datetime
    deleted_at: datetime | None
    others: int
    detections: tuple[DetectionView, ...]
    found_nothing: tuple[str, ...]
    unsuccessful: tuple[UnsuccessfulRun, ...]

    @property
    def is_looked_at(self) -> bool:
        """Return whether any detector succeeded."""
        return bool(self.detections or self.found_nothing)

    def painted(self, data: bytes, limits: ImageLimits) -> "Image":
        """Return the image with boxes, and with labels without boxes in a corner.

        Raises:
            InvalidImageError: It can't be decoded, or is too large.
        """
        from retinue_cli.output.draw import LabelledBox, paint

        boxes = [
            LabelledBox.of_image(one.label, one.confidence, one.kind)
            if one.box is None
            else LabelledBox(
                label=one.label,
                confidence=one.confidence,
                left=one.box.left,
                top=one.box.top,
                width=one.box.width,
                height=one.box.height,
                kind=one.kind,
            )
            for one in self.detections
        ]
        return paint(data, boxes, limits)


def find(history: Snapshot, name: ImageName) -> ImageView:
    """Return the newest image with a name, preferably an existing one.

    Args:
        history: The history.
        name: An id, a key, or a unique part of a key.

    Raises:
        ConfigurationError: The history has no such image, or several keys have that part.
        HistoryUnavailableError: The database doesn't answer.
    """
    rows = list(history.rows(sql.SQL(_IMAGES).format(name.condition())))
    if not rows:
        name = _by_part(history, name)
        rows = list(history.rows(sql.SQL(_IMAGES).format(name.condition())))
    image_id, bucket, key, version, versioned, etag, size_bytes, *rest = rows[0]
    width_px, height_px, uploaded_at, deleted_at, same_name = rest
    runs = sql.SQL(_RUNS).format(image=sql.Literal(image_id), latest_first=LATEST_FIRST)
    found = list(history.rows(runs))
    succeeded = [row[1:] for row in found if row[0] == "succeeded"]
    return ImageView(
        image_id=image_id,
        reference=ImageReference(
            bucket,
            key,
            version_id=version if versioned else None,
            etag=None if versioned else version,
        ),
        etag=etag if versioned else version,
        size_bytes=size_bytes,
        size_px=None if width_px is None else (width_px, height_px),
        uploaded_at=uploaded_at,
        deleted_at=deleted_at,
        others=same_name - 1,
        detections=tuple(_detection(row) for row in succeeded if row[4] is not None),
        found_nothing=tuple(row[0] for row in succeeded if row[4] is None),
        unsuccessful=tuple(
            UnsuccessfulRun(row[1], row[0], row[3], row[4])
            for row in found
            if row[0] != "succeeded"
        ),
    )


def _by_part(history: Snapshot, name: ImageName) -> ImageName:
    """Return the only image whose key has this part.

    Raises:
        ConfigurationError: No key has it, or several have it.
    """
    if name.key is None:
        raise ConfigurationError(f"the history has no image with the id {name.image_id}")
    bucket = sql.Literal(name.bucket)
    parts = sql.SQL(_PARTS).format(
        part=sql.Literal(name.key), bucket=bucket, limit=sql.Literal(MAX_KEYS + 1)
    )
    rows = list(history.rows(parts))
    found = [row for row in rows if row[2]] or rows  # preferably one that still exists
    if not found:
        raise ConfigurationError(f"the history has no image with {name.key!r} in its key")
    if len(found) > 1:
        listed = [f"    {ascii(key)[1:-1]}" for _, key, _ in found[:MAX_KEYS]]
        more = ["    …"] if len(found) > MAX_KEYS else []
        raise ConfigurationError(
            "\n".join([f"more than one key has {name.key!r} in it. Which one?", *listed, *more])
        )
    return ImageName(bucket=found[0][0], key=found[0][1])


def _detection(row: tuple[Any, ...]) -> DetectionView:
    detector, model_version, _, _, kind, label, confidence, left, top, width, height = row
    box = None if left is None else BoundingBox(left, top, width, height)
    return DetectionView(detector, model_version, kind, label, confidence, box)


_IMAGES = """SELECT image_id, bucket, key, version, versioned, etag, size_bytes, width_px,
    height_px, uploaded_at, deleted_at, count(*) OVER ()
FROM images
WHERE {}
ORDER BY deleted_at IS NULL DESC, last_uploaded_at DESC, image_id
LIMIT 1"""

_PARTS = """SELECT bucket, key, bool_or(deleted_at IS NULL)
FROM images
WHERE strpos(lower(key), lower({part})) > 0 AND bucket = coalesce({bucket}, bucket)
GROUP BY bucket, key
ORDER BY 3 DESC, bucket, key
LIMIT {limit}"""

# Not from the view latest_detections, which excludes deleted images, empty runs and invented
# answers of an emulator.
_RUNS = """SELECT latest.outcome, latest.detector, latest.model_version, latest.error_code,
    latest.error_message, detections.kind, detections.label, detections.confidence, box_left,
    box_top, box_width, box_height
FROM (
    SELECT DISTINCT ON (detector) run_id, detector, outcome, model_version, error_code,
        error_message
    FROM runs
    WHERE image_id = {image}
    ORDER BY detector, {latest_first}
) AS latest
LEFT JOIN detections ON detections.run_id = latest.run_id
ORDER BY latest.detector, detections.confidence DESC, detections.ordinal"""
