"""The SQL of retention. Each step takes a bounded batch, so that no transaction is long."""

from dataclasses import dataclass

from sqlalchemy import text


@dataclass(frozen=True, slots=True)
class Step:
    """Something done in batches.

    Attributes:
        what: What was done, with a place for how many.
        count: Counts what is to be done.
        statements: One batch, in one transaction; the last one's row count is the batch's size.
    """

    what: str
    count: str
    statements: tuple[str, ...]


RAW_RESPONSES = Step(
    "forgot {} raw responses",
    "SELECT count(*) FROM runs WHERE started_at < :before AND raw_response IS NOT NULL",
    (
        """
        UPDATE runs SET raw_response = NULL
        WHERE run_id = ANY (ARRAY(
            SELECT run_id FROM runs
            WHERE started_at < :before AND raw_response IS NOT NULL
            ORDER BY started_at
            LIMIT 2000
        ))
        """,
    ),
)

# The image's lock makes a worker that sees it come back wait, and then find it gone and write it
# anew. Detections go while their runs still say what they were counted as.
DELETED_IMAGES = Step(
    "purged {} deleted images",
    "SELECT count(*) FROM images WHERE deleted_at < :before",
    (
        "CREATE TEMPORARY TABLE purged (image_id uuid) ON COMMIT DROP",
        """
        INSERT INTO purged
        SELECT image_id FROM images WHERE deleted_at < :before
        ORDER BY image_id
        LIMIT 500
        FOR UPDATE
        """,
        """
        DELETE FROM detections
        USING purged JOIN runs USING (image_id)
        WHERE detections.run_id = runs.run_id AND detections.detected_at = runs.started_at
        """,
        "DELETE FROM runs USING purged WHERE runs.image_id = purged.image_id",
        "DELETE FROM images USING purged WHERE images.image_id = purged.image_id",
    ),
)

# SQS keeps a message for 14 days at most: after that no creation can arrive that a removal undoes.
OLD_REMOVALS = Step(
    "purged {} removals of images that are gone",
    """
    SELECT count(*) FROM removals
    WHERE removed_at < least(:before, now() - interval '15 days')
        AND NOT EXISTS (
            SELECT FROM images
            WHERE images.bucket = removals.bucket AND images.key = removals.key
        )
    """,
    (
        """
        DELETE FROM removals
        WHERE removal_id = ANY (ARRAY(
            SELECT removal_id FROM removals
            WHERE removed_at < least(:before, now() - interval '15 days')
                AND NOT EXISTS (
                    SELECT FROM images
                    WHERE images.bucket = removals.bucket AND images.key = removals.key
                )
            LIMIT 10000
        ))
        """,
    ),
)

MERGE_COUNTS = text("""
    WITH apart AS (
        DELETE FROM label_counts WHERE day < :before AND shard <> 0 RETURNING *
    )
    INSERT INTO label_counts AS known (
        day, series, shard, detector, detector_version, model_version, kind, label, detections,
        confidence_ppm
    )
    SELECT
        day, series, 0, min(detector), min(detector_version), min(model_version), min(kind),
        min(label), sum(detections), sum(confidence_ppm)
    FROM apart
    GROUP BY day, series
    ORDER BY day, series
    ON CONFLICT (day, series, shard) DO UPDATE SET
        detections = known.detections + excluded.detections,
        confidence_ppm = known.confidence_ppm + excluded.confidence_ppm
""")
"""Adds up the shards of days that are over, so that readers have less to add."""


def old_detections(partition: str) -> Step:
    """Deletes the old rows of a partition that holds younger ones too; daily counts stay.

    The table of the partition is named, and not ``detections``, whose triggers would count.

    Args:
        partition: Its name, from ``detections_partitions()``.
    """
    old = f"FROM {partition} WHERE detected_at < :before"
    batch = f"DELETE FROM {partition} WHERE ctid = ANY (ARRAY(SELECT ctid {old} LIMIT 20000))"  # noqa: S608 - from the catalog
    return Step(f"deleted {{}} old detections from {partition}", f"SELECT count(*) {old}", (batch,))
