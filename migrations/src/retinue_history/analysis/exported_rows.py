"""Select rows for exports: detections, and images with their detections."""

import dataclasses

from psycopg import sql

from retinue_history.analysis.comparison import Side
from retinue_history.analysis.selection import IN_USE, KEPT, Selection

DETECTION_COLUMNS = (
    "detection_id", "run_id", "image_id", "bucket", "key", "version", "s3_uri", "width_px",
    "height_px", "detector", "detector_version", "fingerprint", "model_version", "ordinal", "kind",
    "label", "confidence", "box_left", "box_top", "box_width", "box_height", "attributes",
    "detected_at", "uploaded_at", "deleted_at", "start_ms", "end_ms", "track",
)  # fmt: skip
"""The columns of ``detection_rows``, in order."""


def detection_rows(selection: Selection) -> sql.Composed:
    """Return SQL with one row per detection, unordered, with the columns ``DETECTION_COLUMNS``."""
    return sql.SQL(
        """SELECT
    detections.detection_id, detections.run_id, runs.image_id, images.bucket, images.key,
    images.version, 's3://' || images.bucket || '/' || images.key AS s3_uri, images.width_px,
    images.height_px, runs.detector, runs.detector_version, runs.fingerprint, runs.model_version,
    detections.ordinal, detections.kind, detections.label, detections.confidence,
    detections.box_left, detections.box_top, detections.box_width, detections.box_height,
    detections.attributes, detections.detected_at, images.uploaded_at, images.deleted_at,
    detections.start_ms, detections.end_ms, detections.track
FROM detections
JOIN runs ON {detections}
JOIN images ON images.image_id = runs.image_id
WHERE {runs}"""
    ).format(detections=selection.detection_condition(), runs=selection.run_condition())


def image_rows(selection: Selection, side: Side | None = None) -> sql.Composed:
    """Return SQL with one row per detection or empty run, grouped by image.

    A run without detections has a row with nulls; one whose detections were dropped has none. The
    columns are those of ``SelectedImage`` and ``SelectedDetection`` of ``retinue_cli.data.export``,
    in their order.

    Args:
        selection: The selected part of the history.
        side: For each image, only the newest selected run of this side. The selection's ``latest``
            is then ignored.
    """
    runs = selection.run_condition() if side is None else _newest_of(selection, side)
    return sql.SQL(
        """SELECT
    images.image_id, images.bucket, images.key, images.version, images.versioned,
    images.width_px, images.height_px,
    runs.run_id, runs.detector, runs.started_at,
    detections.kind, detections.label, detections.confidence, detections.box_left,
    detections.box_top, detections.box_width, detections.box_height, detections.attributes,
    detections.start_ms, detections.end_ms, detections.track,
    videos.duration_ms, videos.frame_rate
FROM runs
JOIN images ON images.image_id = runs.image_id
LEFT JOIN videos ON videos.image_id = runs.image_id
LEFT JOIN detections ON {detections}
WHERE {runs} AND {kept}
ORDER BY images.image_id, runs.run_id, detections.ordinal"""
    ).format(detections=selection.detection_condition(), runs=runs, kept=KEPT)


def _newest_of(selection: Selection, side: Side) -> sql.Composed:
    every = dataclasses.replace(selection, latest=False)
    return sql.SQL(
        """runs.run_id IN (
    SELECT DISTINCT ON (runs.image_id) runs.run_id
    FROM runs
    JOIN images ON images.image_id = runs.image_id
    WHERE {side} AND {selection} AND {kept}
    ORDER BY runs.image_id, {in_use} DESC, runs.started_at DESC, runs.run_id DESC
)"""
    ).format(in_use=IN_USE, side=side.condition(), selection=every.run_condition(), kept=KEPT)


CATEGORIES = sql.SQL(
    """SELECT kind COLLATE "C", label COLLATE "C" FROM labels
UNION SELECT kind COLLATE "C", label COLLATE "C" FROM truth_items WHERE kind <> 'text'
UNION SELECT 'text', 'text' WHERE EXISTS (SELECT FROM label_counts WHERE kind = 'text')
ORDER BY 1, 2"""
)
"""All kinds and labels of the history, in an order that doesn't depend on the server's locale.

All recognized texts are one label, ``text``, because almost each is unique. Labels of more than
about a thousand bytes are missing.
"""
