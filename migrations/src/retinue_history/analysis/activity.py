"""Read the activity of the last seconds, by detector, for a live view."""

from dataclasses import dataclass
from decimal import Decimal
from typing import LiteralString

from psycopg.rows import class_row

from retinue_history.db.persistent import PersistentConnection

LEAST_SECONDS = 5.0
"""Minimum period for which a rate is computed."""

# Runs have no index by the time at which they were recorded, but their numbers are nearly in that
# order. The minute covers transactions that took long.
_ACTIVITY: LiteralString = """
    SELECT
        detector,
        least(
            %(seconds)s, greatest(%(least)s, extract(epoch FROM now() - min(recorded_at)))
        )::float8 AS seconds,
        count(*) AS runs,
        count(*) FILTER (WHERE outcome = 'failed') AS failed,
        coalesce(sum(detection_count), 0) AS detections,
        coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms), 0) AS p50_ms,
        coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms), 0) AS p95_ms,
        coalesce(sum(price_usd), 0) AS price_usd,
        mode() WITHIN GROUP (ORDER BY error_code) AS commonest_error
    FROM runs
    WHERE recorded_at > now() - make_interval(secs => %(seconds)s) AND outcome <> 'skipped'
        AND run_id > coalesce((
            SELECT run_id FROM runs
            WHERE recorded_at < now() - make_interval(secs => %(seconds)s + 60)
            ORDER BY run_id DESC
            LIMIT 1
        ), 0)
    GROUP BY detector
    ORDER BY detector
"""


@dataclass(frozen=True, slots=True)
class Activity:
    """The activity of one detector in a period.

    Attributes:
        detector: Its name.
        seconds: Active seconds of the period, so that rates are correct from the start.
        runs: Number of recorded runs.
        failed: Number of failed runs.
        detections: Number of their detections.
        p50_ms: The median duration, in milliseconds.
        p95_ms: The 95th percentile of the duration, in milliseconds.
        price_usd: The cost, in US dollars.
        commonest_error: The most frequent error code; ``None`` without failures.
    """

    detector: str
    seconds: float
    runs: int
    failed: int
    detections: int
    p50_ms: float
    p95_ms: float
    price_usd: Decimal
    commonest_error: str | None


class ActivityReader:
    """Queries recent activity repeatedly, on one connection.

    Args:
        url: The database; the login can be a reader.

    Raises:
        HistoryUnavailableError: It can't be reached.
    """

    def __init__(self, url: str) -> None:
        self._connection = PersistentConnection(url, "retinue top")

    def last(self, seconds: float) -> list[Activity]:
        """Return the activity of the last ``seconds``, by detector.

        Raises:
            HistoryUnavailableError: The database doesn't answer now; a retry may help.
        """
        asked = {"seconds": seconds, "least": LEAST_SECONDS}
        return self._connection.fetch(_ACTIVITY, asked, class_row(Activity))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
