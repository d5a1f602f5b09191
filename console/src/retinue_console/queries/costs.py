"""Costs: of each month against its budget, of each day, and of hosted models."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from psycopg import sql
from psycopg.rows import class_row
from retinue_history.db.connections import Connection

from retinue_console.queries.filters import compare
from retinue_console.queries.reading import fetch

DAYS = 30
"""Days whose costs are listed one by one."""


@dataclass(frozen=True, slots=True)
class MonthCost:
    """A detector's cost in a month.

    Attributes:
        month: The month's first day, in UTC.
        detector: The detector's name.
        billed_units: Units billed.
        price_usd: Their cost, in US dollars.
    """

    month: date
    detector: str
    billed_units: Decimal
    price_usd: Decimal


@dataclass(frozen=True, slots=True)
class DayCost:
    """A detector's cost on a day, as in the view ``run_costs``.

    Attributes:
        detector: The detector's name.
        day: The day, in UTC.
        runs: Number of runs, failed ones included.
        failed_runs: Number of failed runs.
        billed_units: Units billed.
        price_usd: Their cost, in US dollars.
        skipped_runs: Number of images that a route kept from the detector.
        saved_usd: The cost that this saved, an estimate.
    """

    detector: str
    day: date
    runs: int
    failed_runs: int
    billed_units: Decimal
    price_usd: Decimal
    skipped_runs: int
    saved_usd: Decimal


@dataclass(frozen=True, slots=True)
class Session:
    """A time for which a model was hosted.

    Attributes:
        session_id: Its row number.
        model: The provider's name for the model.
        detector: The detector that uses it.
        units: Inference units.
        requested_at: When the start was requested.
        running_at: When it was first seen running.
        stopped_at: When it was seen stopped; none while it is hosted.
        start_reason: Why it was started.
        stop_reason: Why it was stopped, or ended.
        unit_minutes: Inference-unit minutes.
        price_usd: Their cost, in US dollars.
    """

    session_id: int
    model: str
    detector: str
    units: int
    requested_at: datetime
    running_at: datetime | None
    stopped_at: datetime | None
    start_reason: str
    stop_reason: str | None
    unit_minutes: Decimal
    price_usd: Decimal


@dataclass(frozen=True, slots=True)
class Model:
    """A model that workers start and stop.

    Attributes:
        model: The provider's name for it.
        detector: The detector that uses it.
        status: Its status, as its controller last saw it.
        reason: Why it is not serving.
        serving: Whether workers may receive messages for it.
        waiting_since: Since when messages are waiting for it.
        failures: Consecutive failed starts.
        not_before: When it may be started again.
        keep_until: Until when it was asked to run without work.
    """

    model: str
    detector: str
    status: str
    reason: str
    serving: bool
    waiting_since: datetime | None
    failures: int
    not_before: datetime | None
    keep_until: datetime | None


def month_costs(connection: Connection) -> list[MonthCost]:
    """Return the costs of the last twelve months, by detector; the newest month first."""
    return fetch(connection, sql.SQL(_MONTHS), class_row(MonthCost))


def day_costs(connection: Connection) -> list[DayCost]:
    """Return the costs of the last days, by detector; the newest day first."""
    return fetch(connection, compare(_DAYS, DAYS), class_row(DayCost))


def list_models(connection: Connection) -> list[Model]:
    """Return the hosted models."""
    return fetch(connection, sql.SQL(_MODELS), class_row(Model))


def list_sessions(connection: Connection) -> list[Session]:
    """Return the last sessions of hosted models, the newest first."""
    return fetch(connection, sql.SQL(_SESSIONS), class_row(Session))


_MONTHS = """SELECT
    month, detector, sum(billed_units) AS billed_units, sum(price_usd) AS price_usd
FROM monthly_spending
WHERE month > now() - interval '1 year'
GROUP BY month, detector
ORDER BY month DESC, price_usd DESC, detector"""

_DAYS = """SELECT
    detector, day, runs, failed_runs, billed_units, price_usd, skipped_runs, saved_usd
FROM run_costs
WHERE day > (now() AT TIME ZONE 'UTC')::date - {}
ORDER BY day DESC, detector"""

_MODELS = """SELECT
    model, detector, status, reason, serving, waiting_since, failures, not_before, keep_until
FROM models
ORDER BY serving DESC, model
LIMIT 200"""

_SESSIONS = """SELECT
    session_id, model, detector, units, requested_at, running_at, stopped_at, start_reason,
    stop_reason, unit_minutes, price_usd
FROM model_costs
ORDER BY requested_at DESC, session_id DESC
LIMIT 50"""
