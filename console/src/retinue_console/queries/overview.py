"""The first page: how processing goes, in a few numbers."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from psycopg import sql
from psycopg.rows import scalar_row, tuple_row
from retinue_history.analysis.failures import Failures, failed_images_count
from retinue_history.db.connections import Connection

from retinue_console.queries.filters import compare
from retinue_console.queries.reading import OPTIONAL_MS, fetch, within

RATE_SECONDS = 60
"""The time over which the rate is measured."""

_RATE_RUNS = 3_000
"""Maximum number of runs to count. A faster rate is measured over a shorter time."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The rate at which images are processed.

    Attributes:
        images_per_second: Images with a run in the last minute, by second.
        last_run_at: When the last run was recorded; none if there are no runs.
    """

    images_per_second: float
    last_run_at: datetime | None


def rate(connection: Connection) -> Rate:
    """Measure how fast images are processed now."""
    query = compare(_RATE, _RATE_RUNS, RATE_SECONDS)
    [(images, seconds, last)] = fetch(connection, query, tuple_row)
    return Rate(images / seconds if seconds else 0.0, last)


def failed_today(connection: Connection) -> int | None:
    """Count the images that still exist and failed since midnight in UTC, unless made up for.

    Returns:
        ``None`` if it takes too long.
    """
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    query, parameters = failed_images_count(Failures(since=midnight))

    def count() -> int:
        [(images,)] = connection.execute(query, parameters).fetchall()
        return int(images)

    return within(connection, OPTIONAL_MS, count)


def newest_image(connection: Connection) -> UUID | None:
    """Return the image that was uploaded last."""
    return next(iter(fetch(connection, sql.SQL(_NEWEST), scalar_row)), None)


# Runs are numbered in the order in which they are recorded, and have no index by that time.
_RATE = """SELECT
    count(DISTINCT image_id) FILTER (WHERE is_recent),
    CASE
        WHEN count(*) FILTER (WHERE is_recent) < {0} THEN {1}::float8
        ELSE greatest(extract(epoch FROM now() - min(recorded_at)), 0.001)::float8
    END,
    max(recorded_at)
FROM (
    SELECT image_id, recorded_at, recorded_at > now() - make_interval(secs => {1}) AS is_recent
    FROM runs
    ORDER BY run_id DESC
    LIMIT {0}
) AS last"""

_NEWEST = """SELECT image_id
FROM images
WHERE deleted_at IS NULL
ORDER BY uploaded_at DESC, image_id DESC
LIMIT 1"""
