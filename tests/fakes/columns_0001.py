"""Records as the release at revision 0001 turns them into columns for ``statements_0001``.

What Postgres cannot hold is refused here, with the name of the field, before anything is sent.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

from retinue_history.db.errors import HistoryDataError
from retinue_history.recording.records import (
    JSON,
    MAX_LABEL_BYTES,
    DetectionRecord,
    ImageRecord,
    RemovedObject,
    RunKey,
    RunRecord,
)

Columns: TypeAlias = dict[str, list[Any]]

_STRIPES = 1024  # bounds the locks of one transaction, however many images it records


def image_columns(images: Iterable[ImageRecord]) -> Columns:
    """Sightings of images, without what they say about being missing."""
    return _columns(
        (
            "image_id", "bucket", "key", "version", "versioned", "etag", "size_bytes",
            "width_px", "height_px", "uploaded_at", "sequencer",
        ),
        (
            (
                image.image_id,
                _text("bucket", image.bucket),
                _text("key", image.key),
                _text("version", image.version),
                image.versioned,
                _text("etag", image.etag),
                image.size_bytes,
                image.width_px,
                image.height_px,
                _time("uploaded_at", image.uploaded_at),
                _text("sequencer", image.sequencer),
            )
            for image in images
        ),
    )  # fmt: skip


def removal_columns(images: Iterable[ImageRecord], removed: Iterable[RemovedObject]) -> Columns:
    """Removals that S3 told of, and those that follow from a missing image.

    A missing image is as good as a removal of that version which came right after the event that
    the worker was working on.
    """
    told = [(o.bucket, o.key, o.version, o.sequencer, o.removed_at) for o in removed]
    found = [
        (image.bucket, image.key, image.version, image.sequencer, image.missing_since)
        for image in images
        if image.missing_since is not None
    ]
    return _columns(
        ("bucket", "key", "version", "sequencer", "removed_at"),
        (
            (
                _text("bucket", bucket),
                _text("key", key),
                _text("version", version),
                _text("sequencer", sequencer),
                _time("removed_at", removed_at),
            )
            for bucket, key, version, sequencer, removed_at in told + found
        ),
    )


def lock_columns(images: Columns, removals: Columns) -> Columns:
    """The locks to take, in the order in which everybody takes them.

    A creation of a new version shares its key's lock with others like it. A removal, and a creation
    in an unversioned bucket, which removes what was there, must be alone with the key.

    Args:
        images: From ``image_columns``.
        removals: From ``removal_columns``.
    """
    exclusive = {
        **dict.fromkeys(_stripes(images["bucket"], images["key"]), False),
        **dict.fromkeys(_stripes(removals["bucket"], removals["key"]), True),
        **dict.fromkeys(_stripes(*unversioned_keys(images)), True),
    }
    return _columns(("stripe", "exclusive"), sorted(exclusive.items()))


def unversioned_keys(images: Columns) -> tuple[list[str], list[str]]:
    """Buckets and keys of the images that may have taken another's place."""
    names = [
        (bucket, key)
        for bucket, key, versioned in zip(
            images["bucket"], images["key"], images["versioned"], strict=True
        )
        if not versioned
    ]
    return [bucket for bucket, _ in names], [key for _, key in names]


def run_columns(runs: Iterable[RunRecord]) -> Columns:
    """Runs, without their detections."""
    return _columns(
        (
            "image_id", "detector", "detector_version", "fingerprint", "event_id", "outcome",
            "final", "error_code", "error_message", "model_version", "started_at", "duration_ms",
            "detection_count", "billed_units", "price_usd", "raw_response", "avoided_usd",
        ),
        (
            (
                *_key(run.key),
                _text("event_id", run.event_id),
                _text("outcome", run.outcome),
                run.final,
                _text("error_code", run.error_code),
                _text("error_message", run.error_message),
                _text("model_version", run.model_version),
                _time("started_at", run.started_at),
                float(run.duration_ms),
                len(run.detections),
                Decimal(run.billed_units),
                Decimal(run.price_usd),
                None if run.raw_response is None else _json("raw_response", run.raw_response),
                None if run.avoided_usd is None else Decimal(run.avoided_usd),
            )
            for run in runs
        ),
    )  # fmt: skip


def detection_columns(runs: Sequence[tuple[int, RunRecord]]) -> Columns:
    """The detections of runs that were inserted, each run with its ``run_id``."""
    return _columns(
        (
            "run_id", "image_id", "ordinal", "kind", "label", "confidence", "box_left", "box_top",
            "box_width", "box_height", "attributes", "detected_at",
        ),
        (
            (
                run_id,
                run.key.image_id,
                ordinal,
                _text("kind", detection.kind),
                _label(detection),
                float(detection.confidence),
                *(map(float, detection.box) if detection.box is not None else (None,) * 4),
                _json("attributes", detection.attributes),
                run.started_at,
            )
            for run_id, run in runs
            for ordinal, detection in enumerate(run.detections)
        ),
    )  # fmt: skip


def _columns(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Columns:
    columns: Columns = {name: [] for name in names}
    for row in rows:
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
    return columns


def _key(key: RunKey) -> tuple[UUID, str | None, str | None, str | None]:
    return (
        key.image_id,
        _text("detector", key.detector),
        _text("detector_version", key.detector_version),
        _text("fingerprint", key.fingerprint),
    )


def _stripes(buckets: Iterable[str], keys: Iterable[str]) -> Iterable[int]:
    names = zip(buckets, keys, strict=True)
    return (zlib.crc32(f"{bucket}/{key}".encode()) % _STRIPES for bucket, key in names)


def _label(detection: DetectionRecord) -> str | None:
    label = _text("label", detection.label)
    if not 0 < len(detection.label.encode()) <= MAX_LABEL_BYTES:
        raise HistoryDataError(
            f"a label must have 1 to {MAX_LABEL_BYTES:,} bytes of UTF-8, "
            f"not {len(detection.label.encode()):,}"
        )
    return label


def _text(field: str, value: str | None) -> str | None:
    if value is None:
        return None
    if "\0" in value:
        raise HistoryDataError(f"{field} {value[:80]!r} contains NUL, which Postgres cannot hold")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise HistoryDataError(
            f"{field} {value[:80]!r} contains a lone surrogate, which is not valid Unicode"
        ) from None
    return value


def _time(field: str, value: datetime) -> datetime:
    if value.tzinfo is None:
        raise HistoryDataError(f"{field} {value} has no time zone")
    return value


def _json(field: str, value: JSON | Mapping[str, JSON]) -> str:
    try:
        encoded = json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
        )
        encoded.encode()
    except UnicodeEncodeError:
        raise HistoryDataError(
            f"{field} contains a lone surrogate, which is not valid Unicode"
        ) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise HistoryDataError(f"{field} cannot be written as JSON: {error}") from error
    # NUL is escaped by now; Postgres refuses that by itself, and says so.
    return encoded


def _plain(value: object) -> dict[str, JSON]:
    """What ``json`` does not know: mappings that are no ``dict``, such as read-only views."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON type")
