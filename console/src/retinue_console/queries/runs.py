"""Runs, the newest first: attempts of detectors at images, and skips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from psycopg import sql
from psycopg.rows import tuple_row
from retinue_history.db.connections import Connection

from retinue_console.queries.cursor import Cursor, beyond, continued, directions
from retinue_console.queries.filters import Filters, all_of, compare
from retinue_console.queries.reading import fetch
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
    """Return the next runs that match, in the order in which they were recorded.

    Raises:
        ValueError: The cursor belongs to another list.
    """
    after = continued(filters.after, "recorded")
    look = _look(connection, filters, outcome)
    found = walk(connection, look, after, wanted=wanted, seconds=seconds)
    rows = tuple(ListedRun(*row) for row in found.rows)
    return found.with_rows(rows)


def _look(
    connection: Connection, filters: Filters, outcome: Outcome | None
) -> Callable[[Cursor | None, int, int], Looked[Sequence[Any]]]:
    conditions = [
        *filters.of_run("runs"),
        *filters.of_image(),
        *filters.between("runs.started_at"),
        *([] if outcome is None else [compare("runs.outcome = {}", outcome)]),
    ]

    def look(after: Cursor | None, size: int, wanted: int) -> Looked[Sequence[Any]]:
        query = sql.SQL(_RUNS).format(
            scanned=all_of(*beyond("run_id", after)),
            conditions=all_of(*conditions),
            size=sql.Literal(size),
            wanted=sql.Literal(wanted),
            **directions(after),
        )
        rows = fetch(connection, query, tuple_row)
        matched = sorted(
            (row[1:] for row in rows if row[0] is None),
            reverse=after is None or not after.backward,
        )
        last = next((row[1] for row in rows if row[0] == size), None)
        return Looked(
            [(Cursor("recorded", number=row[0]), row) for row in matched],
            None if last is None else Cursor("recorded", number=last),
        )

    return look


_RUNS = """WITH looked AS MATERIALIZED (
    SELECT *
    FROM runs
    WHERE {scanned}
    ORDER BY run_id {down}
    LIMIT {size}
)
(
    SELECT
        NULL::bigint, runs.run_id, images.image_id, images.bucket, images.key, runs.detector,
        runs.detector_version, runs.model_version, runs.outcome, runs.error_code, runs.started_at,
        runs.duration_ms, runs.detection_count, runs.price_usd
    FROM looked AS runs
    JOIN images ON images.image_id = runs.image_id
    WHERE {conditions}
    ORDER BY runs.run_id {down}
    LIMIT {wanted}
)
UNION ALL
(
    SELECT
        count(*) OVER (), run_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL
    FROM looked
    ORDER BY run_id {up}
    LIMIT 1
)"""
