"""Runs, the last started first: attempts of detectors at images, and skips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, LiteralString
from uuid import UUID

from psycopg import sql
from psycopg.rows import tuple_row
from retinue_history.db.connections import Connection

from retinue_console.queries.cursor import Cursor, beyond_time, continued, directions
from retinue_console.queries.filters import Filters, all_of, compare
from retinue_console.queries.gallery import FEW, few_images, if_fewer
from retinue_console.queries.reading import fetch, fetch_within
from retinue_console.queries.walk import PAGE, PATIENCE_SECONDS, Looked, Page, walk

Outcome = Literal["succeeded", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run.

    Attributes:
        run_id: Its row number.
        image_id: The image.
        bucket: The bucket's name.
        key: The object's key.
        detector: The detector's name.
        detector_version: The detector's version.
        model_version: The model's version, as the detector reported it.
        outcome: succeeded, failed or skipped.
        error_code: Why it failed or was skipped.
        started_at: When the detector was called.
        duration_ms: How long it took, in milliseconds.
        detection_count: Number of its detections.
        price_usd: The cost, in US dollars.
    """

    run_id: int
    image_id: UUID
    bucket: str
    key: str
    detector: str
    detector_version: str
    model_version: str | None
    outcome: str
    error_code: str | None
    started_at: datetime
    duration_ms: float
    detection_count: int
    price_usd: Decimal


def list_runs(
    connection: Connection,
    filters: Filters,
    outcome: Outcome | None = None,
    *,
    wanted: int = PAGE,
    seconds: float = PATIENCE_SECONDS,
) -> Page[ListedRun]:
    """Return the next runs that match, the last started first.

    Raises:
        ValueError: The cursor belongs to another list.
    """
    after = continued(filters.after, "started")
    look = _look(connection, filters, outcome)
    found = walk(connection, look, after, wanted=wanted, seconds=seconds)
    rows = tuple(ListedRun(*row) for row in found.rows)
    return found.with_rows(rows)


def _look(
    connection: Connection, filters: Filters, outcome: Outcome | None
) -> Callable[[Cursor | None, int, int], Looked[Sequence[Any]]]:
    """Look at the runs before a place: those of some days, or those of few images."""
    conditions = [
        *filters.of_run("runs"),
        *filters.of_image(),
        *([] if outcome is None else [compare("runs.outcome = {}", outcome)]),
    ]
    days = _days(connection, filters, outcome)
    few = few_images(connection, filters, FEW)

    def look(after: Cursor | None, size: int, wanted: int) -> Looked[Sequence[Any]]:
        scanned = [*filters.between("started_at"), *beyond_time("started_at", "run_id", after)]
        if outcome == "failed":  # these have an index
            scanned.append(sql.SQL("outcome = 'failed'"))
        among = if_fewer(few, size)
        query = sql.SQL(_RUNS).format(
            candidates=sql.SQL(_OF_DAYS if among is None else _OF_FEW).format(
                first=sql.Literal([first for first, _ in days]),
                end=sql.Literal([end for _, end in days]),
                few=among,
                columns=sql.SQL(_COLUMNS),
                scanned=all_of(*scanned),
                size=sql.Literal(size),
                **directions(after),
            ),
            conditions=all_of(*conditions),
            wanted=sql.Literal(wanted),
            **directions(after),
        )
        rows = fetch(connection, query, tuple_row)
        matched = sorted(
            (row[1:] for row in rows if row[0] is None),
            reverse=after is None or not after.backward,
        )
        last = next((row[1:3] for row in rows if row[0] == size), None)
        return Looked(
            [(_place(*row[:2]), row[1:]) for row in matched],
            None if last is None else _place(*last),
        )

    return look


def _place(started_at: datetime, run_id: int) -> Cursor:
    return Cursor("started", started_at, number=run_id)


def _days(
    connection: Connection, filters: Filters, outcome: Outcome | None
) -> list[tuple[date, date]]:
    """Return the first day in UTC of each period in which such runs were counted, and its end.

    A search for those of an old version then reads no others' days.
    """
    query = sql.SQL(_DAYS).format(
        conditions=all_of(*filters.of_run("counted")), runs=sql.SQL(_COUNTED[outcome])
    )
    is_counted = outcome is not None or filters.of_run("counted")
    days = fetch_within(connection, query, tuple_row) if is_counted else None
    return [(date.min, date.max)] if days is None else days


_COUNTED: dict[Outcome | None, LiteralString] = {
    "succeeded": "runs - failed_runs",
    "failed": "failed_runs",
    "skipped": "skipped_runs",
    None: "runs + skipped_runs",
}
"""Number of runs with an outcome, in the columns of ``run_counts``."""

_DAYS = """SELECT lower(days), upper(days)
FROM unnest((
    SELECT range_agg(daterange(day, day + 1))
    FROM (
        SELECT day FROM run_counts AS counted WHERE {conditions} GROUP BY day HAVING sum({runs}) > 0
    ) AS counted
)) AS days"""

_RUNS = """WITH looked AS MATERIALIZED (
    {candidates}
)
(
    SELECT
        NULL::bigint, runs.started_at, runs.run_id, images.image_id, images.bucket, images.key,
        runs.detector, runs.detector_version, runs.model_version, runs.outcome, runs.error_code,
        runs.started_at, runs.duration_ms, runs.detection_count, runs.price_usd
    FROM looked AS runs
    JOIN images ON images.image_id = runs.image_id
    WHERE {conditions}
    ORDER BY runs.started_at {down}, runs.run_id {down}
    LIMIT {wanted}
)
UNION ALL
(
    SELECT
        count(*) OVER (), started_at, run_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL
    FROM looked
    ORDER BY started_at {up}, run_id {up}
    LIMIT 1
)"""

# All but the raw response.
_COLUMNS = """run_id, image_id, detector, detector_version, model_version, outcome, error_code,
    started_at, duration_ms, detection_count, price_usd"""

# The periods follow each other, so that those after enough runs aren't read.
_OF_DAYS = """SELECT found.*
    FROM (
        SELECT *
        FROM unnest({first}::date[], {end}::date[]) AS days (first, "end")
        ORDER BY first {down}
    ) AS days
    CROSS JOIN LATERAL (
        SELECT {columns}
        FROM runs
        WHERE started_at >= days.first::timestamp AT TIME ZONE 'UTC'
            AND started_at < days.end::timestamp AT TIME ZONE 'UTC'
            AND {scanned}
        ORDER BY started_at {down}, run_id {down}
        LIMIT {size}
    ) AS found
    LIMIT {size}"""

_OF_FEW = """SELECT {columns}
    FROM (SELECT image_id AS id FROM images WHERE {few} OFFSET 0) AS images
    CROSS JOIN LATERAL (SELECT * FROM runs WHERE image_id = id AND {scanned} OFFSET 0) AS runs
    ORDER BY started_at {down}, run_id {down}
    LIMIT {size}"""
