"""Labels: how often each was found, day by day, from the daily counts."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from psycopg import sql
from psycopg.rows import scalar_row, tuple_row
from retinue_history.db.connections import Connection

from retinue_console.queries.filters import Filters, all_of, compare
from retinue_console.queries.reading import fetch
from retinue_console.queries.search import like

DAYS = 30
"""Days that are counted. The trend compares them with as many before."""

MAX_LABELS = 200
"""Maximum number of labels that are listed, the most frequent first."""


@dataclass(frozen=True, slots=True)
class LabelCount:
    """A label, and how often it was found.

    Attributes:
        kind: The kind of its detections.
        label: The label; empty for all recognized texts, which are counted together.
        detections: Number of detections in the period.
        before: Number of detections in the period before, of the same length.
        mean_confidence: Their mean confidence in the period; none if there are no detections.
        days: Detections on each day of the period.
    """

    kind: str
    label: str
    detections: int
    before: int
    mean_confidence: float | None
    days: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels by how often they were found.

    Attributes:
        first_day: The first day of the period, in UTC.
        last_day: Its last day: today, or the last day that has detections.
        labels: The labels, the most frequent first.
        has_more: Whether there are more labels than that.
    """

    first_day: date
    last_day: date
    labels: tuple[LabelCount, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Series:
    """Detections of one label by one model, day by day.

    Attributes:
        detector: The detector's name.
        detector_version: The detector's version.
        model_version: The model's version, as the detector reported it.
        detections: Number of detections on each day of the period.
        mean_confidences: Their mean confidence on each day; none on days without any.
    """

    detector: str
    detector_version: str
    model_version: str | None
    detections: tuple[int, ...]
    mean_confidences: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class LabelHistory:
    """One label.

    Attributes:
        label: The label.
        kinds: The kinds of detections that it has.
        parents: Wider labels.
        narrower: Narrower labels.
        first_day: The first day of the period, in UTC.
        last_day: Its last day.
        series: Its detections, by model.
    """

    label: str
    kinds: tuple[str, ...]
    parents: tuple[str, ...]
    narrower: tuple[str, ...]
    first_day: date
    last_day: date
    series: tuple[Series, ...]


def list_labels(
    connection: Connection, filters: Filters, *, part: str | None = None, days: int = DAYS
) -> Labels:
    """Count labels in the days up to the last one.

    Args:
        connection: Connection to the history.
        filters: ``kind``, ``detector`` and ``version`` restrict the counts, and ``until`` gives the
            last day.
        part: Only labels with this text in them, in upper or lower case.
        days: How long the period is.
    """
    first, last = _period(connection, filters, days)
    conditions = [*filters.of_kind("label_counts"), *filters.of_run("label_counts")]
    if part:
        conditions.append(compare("label ILIKE {}", like(part)))
    counted = all_of(*conditions)
    query = sql.SQL(_LABELS).format(
        first=sql.Literal(first),
        last=sql.Literal(last),
        before=sql.Literal(first - timedelta(days=days)),
        conditions=counted,
        limit=sql.Literal(MAX_LABELS + 1),
    )
    found = fetch(connection, query, tuple_row)
    of_days = sql.SQL(_DAYS).format(
        first=sql.Literal(first),
        last=sql.Literal(last),
        conditions=counted,
        labels=sql.Literal([label for _, label, *_ in found]),
    )
    by_day = {(kind, label): [0] * days for kind, label, *_ in found}
    for kind, label, day, detections in fetch(connection, of_days, tuple_row):
        if (kind, label) in by_day:
            by_day[kind, label][day] = detections
    labels = [
        LabelCount(kind, label, detections, before, mean, tuple(by_day[kind, label]))
        for kind, label, detections, before, mean in found[:MAX_LABELS]
    ]
    return Labels(first, last, tuple(labels), len(found) > MAX_LABELS)


def label_history(
    connection: Connection, label: str, filters: Filters, *, days: int = 3 * DAYS
) -> LabelHistory | None:
    """Count one label day by day, for each model.

    Returns:
        ``None`` if it was never found.
    """
    first, last = _period(connection, filters, days)
    query = sql.SQL(_SERIES).format(
        label=sql.Literal(label),
        first=sql.Literal(first),
        last=sql.Literal(last),
        conditions=all_of(*filters.of_kind("label_counts"), *filters.of_run("label_counts")),
    )
    series = [
        Series(
            detector,
            version,
            model_version,
            tuple(_by_day(counts, days, 0)),
            tuple(_by_day(means, days, None)),
        )
        for detector, version, model_version, counts, means in fetch(connection, query, tuple_row)
    ]
    kinds = fetch(connection, compare(_KINDS, label), scalar_row)
    if not kinds:
        return None
    return LabelHistory(
        label,
        tuple(kinds),
        tuple(fetch(connection, compare(_PARENTS, label), scalar_row)),
        tuple(fetch(connection, compare(_NARROWER, label), scalar_row)),
        first,
        last,
        tuple(series),
    )


def _period(connection: Connection, filters: Filters, days: int) -> tuple[date, date]:
    """Return the first and the last day."""
    [last] = fetch(connection, compare(_LAST_DAY, filters.until), scalar_row)
    return last - timedelta(days=days - 1), last


def _by_day(values: dict[str, Any], days: int, otherwise: Any) -> list[Any]:
    """Return one value a day, from an object by the number of the day."""
    return [values.get(str(day), otherwise) for day in range(days)]


# A history that is no longer written has its last days, too.
_LAST_DAY = """SELECT least(
    coalesce((SELECT max(day) FROM label_counts), now()::date),
    (coalesce({}::timestamptz, now()) AT TIME ZONE 'UTC' - interval '1 microsecond')::date
)"""

# Two queries: to add up each day of all labels takes four times as long.
_LABELS = """SELECT
    kind, label,
    coalesce(sum(detections) FILTER (WHERE day >= {first}), 0)::bigint AS detections,
    coalesce(sum(detections) FILTER (WHERE day < {first}), 0)::bigint AS before,
    (
        sum(confidence_ppm) FILTER (WHERE day >= {first})
        / nullif(sum(detections) FILTER (WHERE day >= {first}), 0) / 1000000.0
    )::double precision AS mean_confidence
FROM label_counts
WHERE day BETWEEN {before} AND {last} AND model_version IS DISTINCT FROM 'emulator'
    AND {conditions}
GROUP BY kind, label
HAVING sum(detections) > 0
ORDER BY detections DESC, before DESC, label, kind
LIMIT {limit}"""

_DAYS = """SELECT kind, label, day - {first}, sum(detections)::bigint
FROM label_counts
WHERE day BETWEEN {first} AND {last} AND model_version IS DISTINCT FROM 'emulator'
    AND label = ANY ({labels}::text[])
    AND {conditions}
GROUP BY kind, label, day"""

_SERIES = """SELECT
    detector, detector_version, model_version,
    jsonb_object_agg(day - {first}, detections) AS detections,
    jsonb_object_agg(day - {first}, confidence_ppm / 1000000.0 / detections) AS mean_confidences
FROM (
    SELECT
        detector, detector_version, model_version, day, sum(detections)::bigint AS detections,
        sum(confidence_ppm) AS confidence_ppm
    FROM label_counts
    WHERE label = {label} AND day BETWEEN {first} AND {last}
        AND model_version IS DISTINCT FROM 'emulator'
        AND {conditions}
    GROUP BY detector, detector_version, model_version, day
    HAVING sum(detections) > 0
) AS counted
GROUP BY detector, detector_version, model_version
ORDER BY sum(detections) DESC, detector, detector_version, model_version
LIMIT 20"""

_KINDS = """SELECT DISTINCT kind FROM label_counts WHERE label = {} ORDER BY kind LIMIT 20"""

_PARENTS = """SELECT DISTINCT parent
FROM label_parents
WHERE label = {}
ORDER BY parent
LIMIT 100"""

_NARROWER = """SELECT DISTINCT label
FROM label_parents
WHERE lower(parent) = lower({})
ORDER BY label
LIMIT 100"""
