"""The SQL of retention, in batches, so that no transaction is long."""

from dataclasses import dataclass

from sqlalchemy import text


@dataclass(frozen=True, slots=True)
class Step:
    """A step that runs in batches.

    Attributes:
        what: The text of the report, with a placeholder for the number.
        count: Counts the affected rows.
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

DELETED_IMAGES = text("""
    SELECT image_id, bucket, key, version, versioned
    FROM images
    WHERE deleted_at < :before AND (CAST(:after AS uuid) IS NULL OR image_id > :after)
    ORDER BY image_id
    LIMIT 500
""")
"""A page of the images that were deleted long enough ago, ordered by id."""

REVIVE_IMAGES = (
    text("""
        UPDATE images SET served_at = greatest(images.served_at, served.at)
        FROM unnest(CAST(:ids AS uuid[]), CAST(:served_ats AS timestamptz[]))
            AS served (image_id, at)
        WHERE images.image_id = served.image_id
    """),
    text("""
        SELECT update_deleted_at('{}', array_agg(bucket), array_agg(key))
        FROM images WHERE image_id = ANY (CAST(:ids AS uuid[]))
    """),
)
"""Records that S3 still serves these images, with the consequences."""

# A worker that records the image again waits for its lock, and then inserts it again. Detections
# are deleted before their runs, which have the keys of their counts.
PURGE_IMAGES = (
    text("CREATE TEMPORARY TABLE purged (image_id uuid) ON COMMIT DROP"),
    text("""
        INSERT INTO purged
        SELECT image_id FROM images
        WHERE image_id = ANY (CAST(:ids AS uuid[])) AND deleted_at < :before
        ORDER BY image_id
        FOR UPDATE
    """),
    text("""
        DELETE FROM detections
        USING purged JOIN runs USING (image_id)
        WHERE detections.run_id = runs.run_id AND detections.detected_at = runs.started_at
    """),
    text("DELETE FROM runs USING purged WHERE runs.image_id = purged.image_id"),
    text("SELECT drop_jobs(ARRAY(SELECT job_id FROM jobs JOIN purged USING (image_id)))"),
    text("DELETE FROM images USING purged WHERE images.image_id = purged.image_id"),
)
"""Purges those of these images that are still deleted; the last row count is their number."""

# SQS keeps a message for at most 14 days. After that, no creation can arrive that a removal undoes.
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

MERGE_LABEL_COUNTS = text("""
    WITH apart AS (
        DELETE FROM label_counts WHERE day < :before AND shard <> 0 RETURNING *
    )
    INSERT INTO label_counts AS known (
        day, label, series, shard, kind, detector, detector_version, model_version, detections,
        confidence_ppm
    )
    SELECT
        day, label, series, 0, min(kind), min(detector), min(detector_version),
        min(model_version), sum(detections), sum(confidence_ppm)
    FROM apart
    GROUP BY day, label, series
    ORDER BY day, label, series
    ON CONFLICT (day, label, series, shard) DO UPDATE SET
        detections = known.detections + excluded.detections,
        confidence_ppm = known.confidence_ppm + excluded.confidence_ppm
""")
"""Merges the shards of past days, so that readers have less to add."""

MERGE_RUN_COUNTS = text("""
    WITH apart AS (
        DELETE FROM run_counts WHERE day < :before AND shard <> 0 RETURNING *
    )
    INSERT INTO run_counts AS known (
        day, series, shard, detector, detector_version, fingerprint, model_version, runs,
        failed_runs, skipped_runs, detections, billed_units, price_usd, saved_usd
    )
    SELECT
        day, series, 0, min(detector), min(detector_version), min(fingerprint), min(model_version),
        sum(runs), sum(failed_runs), sum(skipped_runs), sum(detections), sum(billed_units),
        sum(price_usd), sum(saved_usd)
    FROM apart
    GROUP BY day, series
    ORDER BY day, series
    ON CONFLICT (day, series, shard) DO UPDATE SET
        runs = known.runs + excluded.runs,
        failed_runs = known.failed_runs + excluded.failed_runs,
        skipped_runs = known.skipped_runs + excluded.skipped_runs,
        detections = known.detections + excluded.detections,
        billed_units = known.billed_units + excluded.billed_units,
        price_usd = known.price_usd + excluded.price_usd,
        saved_usd = known.saved_usd + excluded.saved_usd
""")
"""The same for the counts of runs."""


def old_detections(partition: str) -> Step:
    """Return the step that deletes the old rows of a partition. Daily counts stay.

    It names the partition instead of ``detections``, whose triggers would change the counts.

    Args:
        partition: Its name, from ``detections_partitions()``.
    """
    old = f"FROM {partition} WHERE detected_at < :before"
    batch = f"DELETE FROM {partition} WHERE ctid = ANY (ARRAY(SELECT ctid {old} LIMIT 20000))"  # noqa: S608 - from the catalog
    return Step(f"deleted {{}} old detections from {partition}", f"SELECT count(*) {old}", (batch,))
