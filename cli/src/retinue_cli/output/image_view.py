"""An image with the findings of each detector."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any
from uuid import UUID

from psycopg import sql
from retinue_history.analysis.selection import LATEST_FIRST, ImageName
from retinue_history.db.snapshot import Snapshot
from retinue_sdk import BoundingBox, ConfigurationError, Detection, ImageLimits, ImageReference

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_KEYS = 10
"""Maximum number of keys that are listed if a part of a key is ambiguous."""


@dataclass(frozen=True, slots=True)
class RunView:
    """The latest successful run of a detector on the image, or its newest attempt.

    Attributes:
        detector: The detector's name.
        detector_version: The detector's version.
        model_version: The model's version, if it has one.
        outcome: ``succeeded``, ``failed`` or ``skipped``.
        error_code: The code of the failure or the skip.
        error_message: The same as text.
        truncated: Whether the file ended early or was damaged, so that the detector saw a part.
        detection_count: Number of its findings, also of those that no longer exist.
        detections: Its findings: in a video by start, and otherwise most certain first. None if
            they were dropped with their month.
    """

    detector: str
    detector_version: str
    model_version: str | None
    outcome: str
    error_code: str | None
    error_message: str | None
    truncated: bool
    detection_count: int
    detections: tuple[Detection, ...]


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
        runs: One run of each detector.
        duration_ms: The duration of a video, if known.
    """

    image_id: UUID
    reference: ImageReference
    etag: str | None
    size_bytes: int | None
    size_px: tuple[int, int] | None
    uploaded_at: datetime
    deleted_at: datetime | None
    others: int
    runs: tuple[RunView, ...]
    duration_ms: int | None = None

    @property
    def is_looked_at(self) -> bool:
        """Return whether any detector succeeded."""
        return any(run.outcome == "succeeded" for run in self.runs)

    @property
    def detections(self) -> tuple[Detection, ...]:
        """Return the findings of all detectors."""
        return tuple(found for run in self.runs for found in run.detections)

    def painted(self, data: bytes, limits: ImageLimits) -> "Image":
        """Return the image with its detections drawn.

        Raises:
            InvalidImageError: It can't be decoded, or is too large.
        """
        from retinue_cli.output.draw import paint

        return paint(data, self.detections, limits)


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
    width_px, height_px, uploaded_at, deleted_at, same_name, duration_ms = rest
    runs = sql.SQL(_RUNS).format(image=sql.Literal(image_id), latest_first=LATEST_FIRST)
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
        runs=_runs(history.rows(runs)),
        duration_ms=duration_ms,
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


def _runs(rows: Iterable[tuple[Any, ...]]) -> tuple[RunView, ...]:
    """Return the runs of rows that join each run with its detections."""
    runs = []
    for columns, of_run in groupby(rows, key=lambda row: row[:_RUN_COLUMNS]):
        found = []
        for kind, label, confidence, *edges, attributes, start_ms, end_ms, track in (
            row[_RUN_COLUMNS:] for row in of_run
        ):
            if label is not None:
                box = None if edges[0] is None else BoundingBox(*edges)
                times = (start_ms, end_ms, track)
                found.append(Detection(kind, label, confidence, box, attributes, *times))
        runs.append(RunView(*(*columns, tuple(found))))
    return tuple(runs)


_IMAGES = """SELECT image_id, bucket, key, version, versioned, etag, size_bytes, width_px,
    height_px, uploaded_at, deleted_at, count(*) OVER (), (
        SELECT duration_ms FROM videos WHERE videos.image_id = images.image_id
    )
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

_RUN_COLUMNS = 8
"""Number of the columns of ``_RUNS`` that are a run's."""

# Not from the view latest_detections, which excludes deleted images, empty runs and invented
# answers of an emulator.
_RUNS = """SELECT latest.detector, latest.detector_version, latest.model_version, latest.outcome,
    latest.error_code, latest.error_message, latest.truncated, latest.detection_count,
    detections.kind, detections.label, detections.confidence, box_left, box_top, box_width,
    box_height, detections.attributes, detections.start_ms, detections.end_ms, detections.track
FROM (
    SELECT DISTINCT ON (detector) run_id, detector, detector_version, outcome, model_version,
        error_code, error_message, truncated, detection_count, started_at
    FROM runs
    WHERE image_id = {image}
    ORDER BY detector, {latest_first}
) AS latest
LEFT JOIN detections ON detections.run_id = latest.run_id
    AND detections.detected_at BETWEEN latest.started_at AND latest.started_at
ORDER BY latest.detector, detections.start_ms, detections.confidence DESC, detections.ordinal"""
