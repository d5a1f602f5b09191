"""Plain inserts: one INSERT of many rows for each table, in one transaction."""

from collections.abc import Sequence
from typing import Any

import psycopg

from benchmarks.recorded_images import Batch

_IMAGES = (
    "image_id, bucket, key, version, versioned, etag, size_bytes, uploaded_at, last_uploaded_at, "
    "sequencer"
)
_RUNS = (
    "image_id, detector, detector_version, fingerprint, event_id, outcome, retryable, "
    "model_version, started_at, duration_ms, detection_count, billed_units, price_usd, raw_response"
)
_DETECTIONS = (
    "run_id, image_id, ordinal, kind, label, confidence, box_left, box_top, box_width, box_height, "
    "attributes, detected_at"
)


def insert(connection: psycopg.Connection, batch: Batch) -> None:
    """Insert images, runs and detections, and commit."""
    images, runs = batch
    _insert(
        connection,
        f"images ({_IMAGES})",
        [
            (
                image.image_id, image.bucket, image.key, image.version, image.versioned, image.etag,
                image.size_bytes, image.uploaded_at, image.uploaded_at, image.sequencer,
            )
            for image in images
        ],
    )  # fmt: skip
    run_ids = _insert(
        connection,
        f"runs ({_RUNS})",
        [
            (
                run.key.image_id, run.key.detector, run.key.detector_version, run.key.fingerprint,
                run.event_id, run.outcome, run.retryable, run.model_version, run.started_at,
                run.duration_ms, len(run.detections), run.billed_units, run.price_usd,
                run.raw_response,
            )
            for run in runs
        ],
        " RETURNING run_id",
    ).fetchall()  # fmt: skip
    _insert(
        connection,
        f"detections ({_DETECTIONS})",
        [
            (
                run_id, run.key.image_id, ordinal, found.kind, found.label, found.confidence,
                *(found.box or (None,) * 4), found.attributes, run.started_at,
            )
            for (run_id,), run in zip(run_ids, runs, strict=True)
            for ordinal, found in enumerate(run.detections)
        ],
    )  # fmt: skip
    connection.commit()


def _insert(
    connection: psycopg.Connection, into: str, rows: Sequence[Sequence[Any]], tail: str = ""
) -> psycopg.Cursor:
    row = f"({', '.join(['%s'] * len(rows[0]))})"
    statement = f"INSERT INTO {into} VALUES {', '.join([row] * len(rows))}{tail}"
    return connection.execute(statement.encode(), [value for values in rows for value in values])
