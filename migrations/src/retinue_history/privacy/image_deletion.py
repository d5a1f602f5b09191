"""Delete images with their runs and detections, while triggers keep the counts correct."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection, text

# A worker that records the image again waits for its lock, and then inserts it again.
_LOCK = text("""
    SELECT image_id FROM images WHERE image_id = ANY(CAST(:ids AS uuid[]))
    ORDER BY image_id FOR UPDATE
""")

# One statement, because triggers run once per statement. It comes before the runs, which decide
# how the detections were counted. A run's time selects the partition of its detections.
_DETECTIONS = text("""
    DELETE FROM detections USING runs
    WHERE runs.image_id = ANY(CAST(:ids AS uuid[]))
        AND detections.run_id = runs.run_id AND detections.detected_at = runs.started_at
""")

_RUNS = text("DELETE FROM runs WHERE image_id = ANY(CAST(:ids AS uuid[]))")

_REMOVALS = text("""
    DELETE FROM removals USING images
    WHERE images.image_id = ANY(CAST(:ids AS uuid[]))
        AND removals.bucket = images.bucket AND removals.key = images.key
        AND (removals.version = images.version OR NOT EXISTS (
            SELECT FROM images AS other
            WHERE other.bucket = images.bucket AND other.key = images.key
                AND other.image_id <> ALL(CAST(:ids AS uuid[]))
        ))
""")

# The rest of the reviews goes with the image's row.
_TRUTHS = text("DELETE FROM truths WHERE image_id = ANY(CAST(:ids AS uuid[]))")

_ANSWERS = text("DELETE FROM answers WHERE image_id = ANY(CAST(:ids AS uuid[]))")

_AUDIT = text("UPDATE audit_log SET image_id = NULL WHERE image_id = ANY(CAST(:ids AS uuid[]))")

# Late, because it locks the row to which all workers add their costs.
_JOBS = text("""
    SELECT drop_jobs(ARRAY(SELECT job_id FROM jobs WHERE image_id = ANY(CAST(:ids AS uuid[]))))
""")

_IMAGES = text("DELETE FROM images WHERE image_id = ANY(CAST(:ids AS uuid[]))")


def delete_images(connection: Connection, image_ids: Sequence[UUID]) -> Mapping[str, int]:
    """Delete images with all that is known of them, in an open transaction.

    The audit log keeps the act, without the image. A removal of an object stays as long as
    another version of the object does.

    Args:
        connection: In a transaction, as the tables' owner.
        image_ids: At most a few hundred.

    Returns:
        Number of ``truths``, ``answers``, ``detections``, ``runs``, ``removals``, ``jobs`` and
        ``images`` were deleted. The facts of videos go with their images.
    """
    given = {"ids": list(image_ids)}
    # The statistics of a partition may be outdated. Without this, all of it might be scanned.
    for way in ("hashjoin", "mergejoin", "seqscan"):
        connection.execute(text(f"SET LOCAL enable_{way} = off"))
    connection.execute(_LOCK, given)
    connection.execute(_AUDIT, given)
    return {
        "truths": connection.execute(_TRUTHS, given).rowcount,
        "answers": connection.execute(_ANSWERS, given).rowcount,
        "detections": connection.execute(_DETECTIONS, given).rowcount,
        "runs": connection.execute(_RUNS, given).rowcount,
        "removals": connection.execute(_REMOVALS, given).rowcount,
        "jobs": int(connection.scalar(_JOBS, given) or 0),
        "images": connection.execute(_IMAGES, given).rowcount,
    }
