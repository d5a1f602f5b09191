"""Turn records into columns: the arrays that ``statements.py`` takes, in its order."""

import json
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TypeAlias

from retinue_history.db.pg_arrays import (
    booleans,
    decimals,
    floats,
    integers,
    jsons,
    texts,
    times,
    uuids,
)
from retinue_history.recording.records import (
    ConfigurationRecord,
    DetectionRecord,
    DetectorConfiguration,
    ImageRecord,
    JobRecord,
    RemovedObject,
    RunKey,
    RunRecord,
    TaskKey,
    VideoRecord,
)

Columns: TypeAlias = Mapping[str, str]
"""Array literals by the names of a statement's parameters."""

_STRIPES = 4_096  # as many as record_locks has; a removal must find its stripe free soon
_NO_BOX = (None, None, None, None)
_NO_DETECTIONS = (*["{}"] * 9, "[]", "{}")
_NO_CHARGES = ("{}",) * 4  # the size of most commits


def task_columns(tasks: Collection[TaskKey]) -> tuple[str, ...]:
    """Return run keys with the events that request them."""
    keys = key_columns([key for key, _ in tasks])
    return (*keys.values(), texts("event_id", [event_id for _, event_id in tasks]))


def key_columns(keys: Collection[RunKey]) -> Columns:
    """Return run keys alone."""
    return {
        "image_id": uuids([key.image_id for key in keys]),
        "detector": texts("detector", [key.detector for key in keys]),
        "detector_version": texts("detector_version", [key.detector_version for key in keys]),
        "fingerprint": texts("fingerprint", [key.fingerprint for key in keys]),
    }


def upload_columns(images: Collection[ImageRecord]) -> tuple[str, ...]:
    """Return images with their upload times."""
    return (
        uuids([image.image_id for image in images]),
        texts("bucket", [image.bucket for image in images]),
        texts("key", [image.key for image in images]),
        times("uploaded_at", [image.uploaded_at for image in images]),
    )


def image_columns(
    images: Sequence[ImageRecord], removed: Sequence[RemovedObject]
) -> tuple[str, ...]:
    """Return the arguments of ``record_images()``.

    An image that the worker found missing counts as a removal of that version, right after the
    event that the worker was processing.
    """
    gone = [
        *removed,
        *(
            RemovedObject(image.bucket, image.key, image.version, image.sequencer, since)
            for image in images
            if (since := image.missing_since) is not None
        ),
    ]
    return (
        *_locks(images, gone),
        uuids([image.image_id for image in images]),
        texts("bucket", [image.bucket for image in images]),
        texts("key", [image.key for image in images]),
        texts("version", [image.version for image in images]),
        booleans(image.versioned for image in images),
        texts("etag", [image.etag for image in images]),
        integers([image.size_bytes for image in images]),
        integers([image.width_px for image in images]),
        integers([image.height_px for image in images]),
        times("uploaded_at", [image.uploaded_at for image in images]),
        texts("sequencer", [image.sequencer for image in images]),
        times("served_at", [image.served_at for image in images]),
        _removals(gone),
    )


def _removals(gone: Sequence[RemovedObject]) -> str:
    """Return the removals as JSON. Columns would make more parameters than psycopg caches."""
    if not gone:
        return "[]"
    for field in ("bucket", "key", "version", "delete_marker", "sequencer"):
        texts(field, [getattr(one, field) for one in gone])  # refuses unstorable values
    times("removed_at", [one.removed_at for one in gone])
    return json.dumps([{**asdict(one), "removed_at": one.removed_at.isoformat()} for one in gone])


def run_columns(runs: Sequence[RunRecord]) -> tuple[str, ...]:
    """Return the arguments of ``record_runs()``: runs, their detections, and their charges."""
    keys = key_columns([run.key for run in runs])
    return (
        *keys.values(),
        texts("event_id", [run.event_id for run in runs]),
        texts("outcome", [run.outcome for run in runs]),
        booleans(run.retryable for run in runs),
        texts("error_code", [run.error_code for run in runs]),
        texts("error_message", [run.error_message for run in runs]),
        texts("model_version", [run.model_version for run in runs]),
        times("started_at", [run.started_at for run in runs]),
        floats([run.duration_ms for run in runs]),
        integers([len(run.detections) for run in runs]),
        decimals(run.billed_units for run in runs),
        decimals(run.price_usd for run in runs),
        jsons(run.raw_response for run in runs),
        booleans(run.truncated for run in runs),
        decimals(run.saved_usd for run in runs),
        booleans(run.read_by_key for run in runs),
        *_detection_columns(runs),
        *_charge_columns(runs),
    )


def _detection_columns(runs: Sequence[RunRecord]) -> tuple[str, ...]:
    places: list[int] = []
    ordinals: list[int] = []
    found: list[DetectionRecord] = []
    for place, run in enumerate(runs, start=1):
        number = len(run.detections)
        places += [place] * number
        ordinals += range(number)
        found += run.detections
    if not found:
        return _NO_DETECTIONS
    # `zip` transposes tuples in less time than a comprehension for each column.
    kinds, labels, confidences, boxes, attributes, *times = zip(*found, strict=True)
    sides = zip(*[_NO_BOX if box is None else box for box in boxes], strict=True)
    return (
        integers(places),
        integers(ordinals),
        texts("kind", kinds),
        texts("label", labels),
        floats(confidences),
        *map(floats, sides),
        jsons(attributes),
        _times(times),
    )


def _times(columns: Sequence[Sequence[int | None]]) -> str:
    """Return three numbers for each detection, or none at all, as in most commits."""
    if all(column.count(None) == len(column) for column in columns):
        return "{}"
    return integers([number for time in zip(*columns, strict=True) for number in time])


def video_columns(videos: Sequence[VideoRecord], jobs: Sequence[JobRecord]) -> tuple[str, str]:
    """Return the arguments of ``record_videos()``, as JSON: they are few."""
    for field in ("codec", "container"):
        texts(field, [getattr(video, field) for video in videos])  # refuses unstorable values
    for field in ("event_id", "job_group"):
        texts(field, [getattr(job, field) for job in jobs])
    key_columns([job.key for job in jobs])
    return (
        json.dumps([{**asdict(video), "image_id": str(video.image_id)} for video in videos]),
        json.dumps(
            [
                {
                    **job.key._asdict(),
                    "image_id": str(job.key.image_id),
                    "event_id": job.event_id,
                    "job_group": job.job_group,
                }
                for job in jobs
            ]
        ),
    )


def _charge_columns(runs: Sequence[RunRecord]) -> tuple[str, ...]:
    charged = [(place, charge) for place, run in enumerate(runs, start=1) for charge in run.charges]
    if not charged:
        return _NO_CHARGES
    return (
        integers([place for place, _ in charged]),
        texts("billing_group", [charge.billing_group for _, charge in charged]),
        decimals(charge.billed_units for _, charge in charged),
        decimals(charge.price_usd for _, charge in charged),
    )


def used_columns(
    configurations: Collection[DetectorConfiguration],
    videos: Collection[DetectorConfiguration] = (),
) -> Columns:
    """Return configurations that are in use."""
    used = [*configurations, *videos]
    media = ["image"] * len(configurations) + ["video"] * len(videos)
    return {
        "detector": texts("detector", [detector for detector, _, _ in used]),
        "media": texts("media", media),
        "detector_version": texts("detector_version", [version for _, version, _ in used]),
        "fingerprint": texts("fingerprint", [fingerprint for _, _, fingerprint in used]),
    }


def configuration_columns(configurations: Collection[ConfigurationRecord]) -> Columns:
    """Return the options of the fingerprints."""
    return {
        "detector": texts("detector", [told.detector for told in configurations]),
        "detector_version": texts(
            "detector_version", [told.detector_version for told in configurations]
        ),
        "fingerprint": texts("fingerprint", [told.fingerprint for told in configurations]),
        "options": jsons(told.options for told in configurations),
    }


def _locks(images: Iterable[ImageRecord], gone: Iterable[RemovedObject]) -> tuple[str, str]:
    """Return the locks to take, in the order in which all workers take them.

    A creation of a new version shares its key's lock with other creations. A removal takes it
    exclusively. So does a creation in an unversioned bucket, which replaces the former object, and
    an image that S3 was seen to serve.
    """
    exclusive: dict[int, bool] = {}
    for image in images:
        stripe = _stripe(image.bucket, image.key)
        may_share = image.versioned and image.served_at is None
        exclusive[stripe] = not may_share or exclusive.get(stripe, False)
    for one in gone:
        exclusive[_stripe(one.bucket, one.key)] = True
    stripes = sorted(exclusive)
    return integers(stripes), booleans(exclusive[stripe] for stripe in stripes)


def _stripe(bucket: str, key: str) -> int:
    # A name that isn't valid Unicode is refused later, with the name of the field.
    return zlib.crc32(f"{bucket}/{key}".encode(errors="replace")) % _STRIPES
