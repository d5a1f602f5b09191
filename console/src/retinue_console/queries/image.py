"""One image: the detections of each detector, all runs, the other versions of its object."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row, dict_row, scalar_row, tuple_row
from retinue_history.analysis.selection import IN_USE, LATEST_FIRST
from retinue_history.db.connections import Connection
from retinue_history.review.truth import Truth, truth_of
from retinue_sdk import BoundingBox, Media, media_of

from retinue_console.queries.filters import compare
from retinue_console.queries.reading import fetch

MAX_RUNS = 200
"""Maximum number of runs of an image that are listed: the latest of each detector first."""

MAX_DETECTIONS = 1_000
"""Maximum number of detections that are listed and drawn, the most confident first."""


@dataclass(frozen=True, slots=True)
class Run:
    """An attempt of a detector at the image.

    Attributes:
        run_id: Its row number.
        detector: The detector's name.
        detector_version: The detector's version.
        fingerprint: Digest of its options.
        model_version: The model's version, as the detector reported it.
        outcome: succeeded, failed or skipped.
        retryable: Whether another attempt can end differently.
        error_code: Why it failed or was skipped, for programs.
        error_message: Why it failed or was skipped, for people.
        started_at: When the detector was called.
        duration_ms: How long it took, in milliseconds.
        detection_count: Number of its detections.
        billed_units: Units that the provider bills.
        price_usd: The cost, in US dollars.
        saved_usd: Saving of a skip in US dollars.
        truncated: Whether the file ended before its picture did.
        erased_at: When parts of it were erased.
        has_response: Whether the detector's unprocessed answer is kept.
        is_in_use: Whether a pool uses these options.
        is_shown: Whether its detections are shown: that of each detector which is the latest, or
            the one that was asked for.
    """

    run_id: int
    detector: str
    detector_version: str
    fingerprint: str
    model_version: str | None
    outcome: str
    retryable: bool
    error_code: str | None
    error_message: str | None
    started_at: datetime
    duration_ms: float
    detection_count: int
    billed_units: Decimal
    price_usd: Decimal
    saved_usd: Decimal | None
    truncated: bool
    erased_at: datetime | None
    has_response: bool
    is_in_use: bool
    is_shown: bool


@dataclass(frozen=True, slots=True)
class Detection:
    """A detection in the image.

    Attributes:
        detection_id: Its row number.
        run_id: The run that made it.
        detector: The detector's name.
        kind: The kind of detection.
        label: The label.
        confidence: The detector's confidence, 0 to 1.
        box: Its box, in ratios of the displayed image; none if the detector reported none.
        attributes: Everything else that the detector returned.
        start_ms: When it appears in a video, in milliseconds; none in an image.
        end_ms: When it was seen last.
        track: The number of the thing that was followed through the video, if reported.
    """

    detection_id: int
    run_id: int
    detector: str
    kind: str
    label: str
    confidence: float
    box: BoundingBox | None
    attributes: dict[str, Any]
    start_ms: int | None
    end_ms: int | None
    track: int | None


@dataclass(frozen=True, slots=True)
class Video:
    """The facts of a video.

    Attributes:
        duration_ms: Its duration in milliseconds, if known.
        frame_rate: Frames a second, if known.
        codec: Its codec, if known.
        container: Its container, if known.
        rotation_degrees: How far it is turned for display.
    """

    duration_ms: int | None
    frame_rate: float | None
    codec: str | None
    container: str | None
    rotation_degrees: int


@dataclass(frozen=True, slots=True)
class Job:
    """A job of a service that hasn't ended.

    Attributes:
        detector: The detector's name.
        state: wanted, starting or started.
        attempt: Its number.
        wanted_at: Since when it is wanted.
        started_at: When the service started it.
        expected_usd: The expected cost, in US dollars.
        problem: Why it hasn't started or ended, if that is known.
    """

    detector: str
    state: str
    attempt: int
    wanted_at: datetime
    started_at: datetime | None
    expected_usd: Decimal | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Version:
    """Another version of the same object.

    Attributes:
        image_id: Its id.
        version: Its S3 version id, or its ETag.
        uploaded_at: When S3 created it.
        deleted_at: When it was removed; none while it exists.
    """

    image_id: UUID
    version: str
    uploaded_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Image:
    """An image.

    Attributes:
        image_id: Its id.
        bucket: The bucket's name.
        key: The object's key.
        version: The S3 version id, or the ETag where the bucket is unversioned.
        is_versioned: Whether ``version`` is an S3 version id.
        etag: The object's ETag, if known.
        size_bytes: The object's size, if known.
        width_px: Its width as displayed, if known.
        height_px: Its height as displayed, if known.
        uploaded_at: When S3 first created it.
        last_uploaded_at: When S3 last created it.
        deleted_at: When the object was removed; none while it exists.
        runs: All runs, by detector, the latest first.
        detections: Detections of the shown runs, the most confident first.
        has_more_detections: Whether they found more than is listed.
        truths: Settled truths of the image, by name.
        versions: Other versions of the same object, the newest first.
        is_video: Whether the object is a video.
        video: The facts of the video, if they are known.
        jobs: Jobs of services that haven't ended, for a video.
        sql: A query for the shown detections, which anyone can run.
    """

    image_id: UUID
    bucket: str
    key: str
    version: str
    is_versioned: bool
    etag: str | None
    size_bytes: int | None
    width_px: int | None
    height_px: int | None
    uploaded_at: datetime
    last_uploaded_at: datetime
    deleted_at: datetime | None
    runs: tuple[Run, ...]
    detections: tuple[Detection, ...]
    has_more_detections: bool
    truths: tuple[Truth, ...]
    versions: tuple[Version, ...]
    is_video: bool
    video: Video | None
    jobs: tuple[Job, ...]
    sql: str


def find_image(
    connection: Connection, image_id: UUID, *, chosen: Collection[int] = ()
) -> Image | None:
    """Return an image, even if its object is deleted.

    Args:
        connection: A connection to the history.
        image_id: The image's id.
        chosen: Runs to show instead of the latest ones of their detectors.

    Returns:
        ``None`` if the history has no such image.
    """
    row = next(iter(fetch(connection, compare(_IMAGE, image_id), dict_row)), None)
    if row is None:
        return None
    runs = fetch(connection, _runs(image_id, chosen), class_row(Run))
    shown = {run.run_id: run for run in runs if run.is_shown and run.outcome == "succeeded"}
    detections = _detections(connection, shown) if shown else []
    versions = fetch(connection, compare(_VERSIONS, image_id), class_row(Version))
    is_video = media_of(row["key"]) is Media.VIDEO
    videos, jobs = [], []
    if is_video:
        videos = fetch(connection, compare(_VIDEO, image_id), class_row(Video))
        jobs = fetch(connection, compare(_JOBS, image_id), class_row(Job))
    return Image(
        **row,
        runs=tuple(runs),
        detections=tuple(detections[:MAX_DETECTIONS]),
        has_more_detections=len(detections) > MAX_DETECTIONS,
        truths=tuple(truth_of(connection, image_id)),
        versions=tuple(versions),
        is_video=is_video,
        video=next(iter(videos), None),
        jobs=tuple(jobs),
        sql=(_SQL_OF_VIDEO if is_video else _SQL).format(image_id),
    )


def sizes_of(
    connection: Connection, image_ids: Collection[UUID]
) -> dict[UUID, tuple[int | None, int | None]]:
    """Return the width and height of images as displayed, where they are known."""
    rows = fetch(connection, compare(_SIZES, list(image_ids)), tuple_row)
    return {image_id: (width_px, height_px) for image_id, width_px, height_px in rows}


def raw_response(connection: Connection, image_id: UUID, run_id: int) -> str | None:
    """Return the unprocessed answer of a run of the image, as JSON; ``None`` without one."""
    query = compare(_RESPONSE, image_id, run_id)
    return next(iter(fetch(connection, query, scalar_row)), None)


def _runs(image_id: UUID, chosen: Collection[int]) -> sql.Composable:
    return sql.SQL(_RUNS).format(
        image=sql.Literal(image_id),
        in_use=IN_USE,
        latest_first=LATEST_FIRST,
        chosen=sql.Literal(list(chosen)),
        limit=sql.Literal(MAX_RUNS),
    )


def _detections(connection: Connection, runs: dict[int, Run]) -> list[Detection]:
    query = compare(
        _DETECTIONS,
        list(runs),
        [run.started_at for run in runs.values()],
        MAX_DETECTIONS + 1,
    )
    return [
        Detection(
            detection_id,
            run_id,
            runs[run_id].detector,
            kind,
            label,
            confidence,
            None if box[0] is None else BoundingBox(*box),
            attributes,
            start_ms,
            end_ms,
            track,
        )
        for (
            detection_id,
            run_id,
            kind,
            label,
            confidence,
            *box,
            attributes,
            start_ms,
            end_ms,
            track,
        ) in fetch(connection, query, tuple_row)
    ]


_IMAGE = """SELECT
    image_id, bucket, key, version, versioned AS is_versioned, etag, size_bytes, width_px,
    height_px, uploaded_at, last_uploaded_at, deleted_at
FROM images
WHERE image_id = {}"""

_RUNS = """SELECT
    run_id, detector, detector_version, fingerprint, model_version, outcome, retryable, error_code,
    error_message, started_at, duration_ms, detection_count, billed_units, price_usd, saved_usd,
    truncated, erased_at, raw_response IS NOT NULL AS has_response, {in_use} AS is_in_use,
    row_number() OVER (
        PARTITION BY detector
        ORDER BY run_id = ANY ({chosen}::bigint[]) DESC, {latest_first}
    ) = 1 AS is_shown
FROM runs
WHERE image_id = {image}
ORDER BY is_shown DESC, detector, {latest_first}
LIMIT {limit}"""

# With the times of the runs, other months aren't read.
_DETECTIONS = """SELECT
    detections.detection_id, detections.run_id, detections.kind, detections.label,
    detections.confidence, detections.box_left, detections.box_top, detections.box_width,
    detections.box_height, detections.attributes, detections.start_ms, detections.end_ms,
    detections.track
FROM unnest({}::bigint[], {}::timestamptz[]) AS shown (run_id, started_at)
JOIN detections ON detections.run_id = shown.run_id
    AND detections.detected_at BETWEEN shown.started_at AND shown.started_at
ORDER BY detections.confidence DESC, detections.detection_id
LIMIT {}"""

_VERSIONS = """SELECT other.image_id, other.version, other.uploaded_at, other.deleted_at
FROM images AS this
JOIN images AS other ON other.bucket = this.bucket AND other.key = this.key
WHERE this.image_id = {} AND other.image_id <> this.image_id
ORDER BY other.uploaded_at DESC, other.image_id
LIMIT 20"""

_VIDEO = """SELECT duration_ms, frame_rate, codec, container, rotation_degrees
FROM videos
WHERE image_id = {}"""

_JOBS = """SELECT detector, state, attempt, wanted_at, started_at, expected_usd, problem
FROM open_jobs
WHERE image_id = {}
ORDER BY wanted_at
LIMIT 20"""

_SIZES = """SELECT image_id, width_px, height_px
FROM images
WHERE image_id = ANY ({}::uuid[])"""

_RESPONSE = """SELECT jsonb_pretty(raw_response)
FROM runs
WHERE image_id = {} AND run_id = {} AND raw_response IS NOT NULL"""

_SQL = """SELECT detector, kind, label, confidence, box_left, box_top, box_width, box_height
FROM latest_detections
WHERE image_id = '{}'
ORDER BY confidence DESC, detection_id"""

_SQL_OF_VIDEO = """SELECT detector, kind, label, confidence, start_ms, end_ms, track
FROM video_timeline
WHERE image_id = '{}'
ORDER BY start_ms, detection_id"""
