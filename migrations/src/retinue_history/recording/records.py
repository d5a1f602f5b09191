"""The records that the history stores and returns: plain values without behaviour.

Every ``datetime`` must have a time zone. No text may contain NUL or a lone surrogate, because
Postgres can't hold them. ``History.record`` checks both.

The records of each image aren't frozen: creating frozen dataclasses took a twentieth of the
worker's time.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, TypeAlias
from uuid import UUID

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, width, height: ratios of the image as displayed; may be outside [0, 1]."""

JsonText: TypeAlias = str
"""JSON without NUL and unpaired surrogates, as the SDK's ``encode_json`` writes it."""

NULL_VERSION = "null"
"""S3's name of the version without an id. No other version id or ETag equals it."""

REPLAY = "replay:"
"""The prefix of a replay's event id; no event id of S3 begins so."""


class RunKey(NamedTuple):
    """The idempotency key: one detector, in one version and configuration, on one image.

    Attributes:
        image_id: The image's id, as the SQL function ``image_id`` computes it.
        detector: The detector's name.
        detector_version: The detector's version.
        fingerprint: Digest of the detector's options and of the model they name.
    """

    image_id: UUID
    detector: str
    detector_version: str
    fingerprint: str


TaskKey: TypeAlias = tuple[RunKey, str]
"""A run key and the id of the event that asks for it. It identifies a run."""


class DetectorConfiguration(NamedTuple):
    """The part of a run key that is the same for all images.

    Attributes:
        detector: The detector's name.
        detector_version: The detector's version.
        fingerprint: Digest of the detector's options and of the model they name.
    """

    detector: str
    detector_version: str
    fingerprint: str


@dataclass(slots=True)
class ImageRecord:
    """An image in one event: one version of one S3 object.

    Attributes:
        image_id: ``image_id(bucket, key, version)``; the database refuses any other.
        bucket: The bucket's name.
        key: The object's key, decoded; at most 1,024 bytes of UTF-8.
        version: The version id, or the ETag where the bucket is unversioned; never empty.
        versioned: Whether ``version`` is an S3 version id.
        uploaded_at: Time of the object's creation by S3's event.
        sequencer: The S3 event's sequencer; ``None`` where there was no event.
        etag: The object's ETag without quotes, if known.
        size_bytes: The object's size, if known; at least 0.
        width_px: Width as displayed (after EXIF orientation); ``None`` until a detector decoded it.
        height_px: Height as displayed; set exactly when ``width_px`` is.
        missing_since: When S3 reported that the object is gone. The image then counts as deleted
            until an event with a greater sequencer creates it again.
        served_at: When a listing showed this version as the current one of its key. Removals until
            then no longer count for it.
    """

    image_id: UUID
    bucket: str
    key: str
    version: str
    versioned: bool
    uploaded_at: datetime
    sequencer: str | None = None
    etag: str | None = None
    size_bytes: int | None = None
    width_px: int | None = None
    height_px: int | None = None
    missing_since: datetime | None = None
    served_at: datetime | None = None


class DetectionRecord(NamedTuple):
    """One finding of a run. A tuple, because it takes a third of a dataclass's time to create.

    Attributes:
        kind: Kind of the finding: label, face, text, …
        label: Name of the finding; 1 to 2,048 bytes of UTF-8.
        confidence: 0 to 1.
        box: Its place, if reported; width and height are at least 0, all are finite.
        attributes: Other values of the detector, as a JSON object.
        start_ms: In a video, when it appears, in milliseconds from the first frame; at least 0.
        end_ms: When it is last seen, at least ``start_ms``; set exactly when ``start_ms`` is.
        track: The number of the object, at least 0; set only with a time.
    """

    kind: str
    label: str
    confidence: float
    box: Box | None = None
    attributes: JsonText = "{}"
    start_ms: int | None = None
    end_ms: int | None = None
    track: int | None = None


@dataclass(slots=True)
class Charge:
    """A run's part of a month's bill in one billing group.

    Attributes:
        billing_group: Group of calls that the provider counts together for its price tiers.
        billed_units: Units billed; at least 0.
        price_usd: Their price in US dollars; at least 0.
    """

    billing_group: str
    billed_units: Decimal
    price_usd: Decimal


@dataclass(slots=True)
class RunRecord:
    """One attempt of one detector at one image.

    Attributes:
        key: The detector and the image.
        event_id: Cause of this attempt: the S3 event's sequencer and time, or the id of a
            replay.
        outcome: ``"succeeded"``, ``"failed"`` or ``"skipped"``. Give a skip an event id of its own
            (``skip_event_id``), so that it never blocks an attempt.
        retryable: Whether another attempt at the same image can end differently: never for a
            success, always for a skip, and for a failure unless the image itself is the cause.
        started_at: When the detector was called, or the route decided against it.
        duration_ms: How long it took, in milliseconds; at least 0.
        error_code: Why it failed or was skipped, for programs; set unless it succeeded.
        error_message: Why it failed or was skipped, for people; set unless it succeeded.
        model_version: Version of its model, if the detector reports it.
        billed_units: Number of units that the provider bills for this run; at least 0.
        price_usd: Their price in US dollars; at least 0.
        raw_response: The detector's unprocessed answer, or ``null``.
        detections: Detections in the detector's own order; may be empty.
        truncated: Whether the file ends before its picture does, so that the detector saw a part.
        saved_usd: Saving of a skip in US dollars; at least 0, and set only for a skip.
        charges: Sums to add to ``monthly_spending`` if the run is new; together ``price_usd``.
        read_by_key: Whether the detector read the object itself, by its key without a version.
            Such a success is recorded as a failure (``object_replaced``) if another upload may have
            been there during the call, whenever that becomes known.
    """

    key: RunKey
    event_id: str
    outcome: str
    retryable: bool
    started_at: datetime
    duration_ms: float
    error_code: str | None = None
    error_message: str | None = None
    model_version: str | None = None
    billed_units: Decimal = Decimal(0)
    price_usd: Decimal = Decimal(0)
    raw_response: JsonText = "null"
    detections: tuple[DetectionRecord, ...] = ()
    truncated: bool = False
    saved_usd: Decimal | None = None
    charges: tuple[Charge, ...] = ()
    read_by_key: bool = False


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """The facts of a video's header. Its width and height are the image's.

    Attributes:
        image_id: The image whose object is a video.
        duration_ms: The duration of the video track in milliseconds, if known; at least 0.
        frame_rate: Mean number of frames a second, if known; above 0 and finite.
        codec: The codec of the video track, if known: ``h264``, ``hevc``, …
        container: The container, if known: ``mp4``, ``mov``, …
        rotation_degrees: Clockwise rotation for display: 0, 90, 180 or 270.
    """

    image_id: UUID
    duration_ms: int | None = None
    frame_rate: float | None = None
    codec: str | None = None
    container: str | None = None
    rotation_degrees: int = 0


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job that is wanted: a detector's service should process a video.

    Attributes:
        key: The detector and the video.
        event_id: Event that requested it, as in the run that will replace it.
        job_group: Jobs of one group are counted together against the service's limit.
    """

    key: RunKey
    event_id: str
    job_group: str


def skip_event_id(event_id: str) -> str:
    """Return the event id under which a skip is recorded: the event's, plus ``/skipped``."""
    return f"{event_id}/skipped"


@dataclass(frozen=True, slots=True)
class DetectionSummary:
    """The part of an earlier run's detection that a route asks for.

    Attributes:
        kind: The kind of detection.
        label: The label.
        confidence: 0 to 1.
    """

    kind: str
    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class RemovedObject:
    """The removal of an object, or of one version of it.

    Attributes:
        bucket: The bucket's name.
        key: The object's key, decoded.
        version: The version that was permanently removed: an object's or a delete marker's;
            ``NULL_VERSION`` for the object without a version id, as all objects are in an
            unversioned bucket. ``None`` for a delete marker that was put: every image of the key
            created before it then counts as deleted, until the marker is removed.
        sequencer: The S3 event's sequencer; ``None`` if it has none, and ``removed_at`` decides.
        removed_at: The S3 event's time.
        delete_marker: The version id of the delete marker that was put; ``NULL_VERSION`` where
            versioning is suspended.
    """

    bucket: str
    key: str
    version: str | None
    sequencer: str | None
    removed_at: datetime
    delete_marker: str | None = None


@dataclass(frozen=True, slots=True)
class ConfigurationRecord:
    """The options of a fingerprint.

    Attributes:
        detector: The detector's name.
        detector_version: The detector's version.
        fingerprint: As in the run keys.
        options: The options as a JSON object; no secret in them.
    """

    detector: str
    detector_version: str
    fingerprint: str
    options: JsonText
