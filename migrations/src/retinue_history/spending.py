"""What was billed in a month: counted as runs are committed, so that nobody has to add them up."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from retinue_history.records import RunRecord


def month_of(moment: datetime) -> date:
    """The first day of the month, in UTC, in which ``moment`` lies."""
    return moment.astimezone(UTC).date().replace(day=1)


@dataclass(frozen=True, slots=True)
class MonthTotals:
    """What one month has cost until now.

    Attributes:
        month: Its first day.
        units: Billed units by price group, of all detectors.
        usd: US dollars by detector, of all price groups.
    """

    month: date
    units: dict[str, Decimal]
    usd: dict[str, Decimal]


# Rows in one order, and after everything else of the transaction: no deadlock, short locks.
_ADD = text("""
    INSERT INTO monthly_spending AS known (month, detector, price_group, billed_units, price_usd)
    SELECT month, detector, price_group, sum(billed_units), sum(price_usd)
    FROM unnest(
        CAST(:month AS date[]), CAST(:detector AS text[]), CAST(:price_group AS text[]),
        CAST(:billed_units AS numeric[]), CAST(:price_usd AS numeric[])
    ) AS told (month, detector, price_group, billed_units, price_usd)
    GROUP BY month, detector, price_group
    ORDER BY month, detector, price_group
    ON CONFLICT (month, detector, price_group) DO UPDATE SET
        billed_units = known.billed_units + excluded.billed_units,
        price_usd = known.price_usd + excluded.price_usd
""")

_TOTALS = text("""
    SELECT detector, price_group, billed_units, price_usd
    FROM monthly_spending
    WHERE month = :month
        AND (detector = ANY (CAST(:detector AS text[]))
            OR price_group = ANY (CAST(:price_group AS text[])))
""")


def add_charges(connection: Connection, runs: Iterable[RunRecord]) -> None:
    """Count what runs that were just inserted cost."""
    rows = [
        (month_of(run.started_at), run.key.detector, charge)
        for run in runs
        for charge in run.charges
    ]
    if rows:
        connection.execute(
            _ADD,
            {
                "month": [month for month, _, _ in rows],
                "detector": [detector for _, detector, _ in rows],
                "price_group": [charge.price_group for _, _, charge in rows],
                "billed_units": [charge.billed_units for _, _, charge in rows],
                "price_usd": [charge.price_usd for _, _, charge in rows],
            },
        )


def read_totals(
    connection: Connection, month: date, detectors: Collection[str], groups: Collection[str]
) -> MonthTotals:
    """What a month has cost until now, for these detectors and price groups."""
    rows = connection.execute(
        _TOTALS, {"month": month, "detector": sorted(detectors), "price_group": sorted(groups)}
    )
    units = dict.fromkeys(groups, Decimal(0))
    usd = dict.fromkeys(detectors, Decimal(0))
    for detector, group, billed_units, price_usd in rows:
        if group in units:
            units[group] += billed_units
        if detector in usd:
            usd[detector] += price_usd
    return MonthTotals(month, units, usd)
