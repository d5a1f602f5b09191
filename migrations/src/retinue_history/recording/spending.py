"""Read a month's billed totals, which each commit updates."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from retinue_history.db.connections import Connection


def month_of(moment: datetime) -> date:
    """Return the first day of the month, in UTC, of a moment."""
    in_utc = moment.astimezone(UTC)
    return date(in_utc.year, in_utc.month, 1)


@dataclass(frozen=True, slots=True)
class MonthTotals:
    """The cost of one month until now.

    Attributes:
        month: Its first day.
        units: Billed units by billing group, of all detectors.
        usd: US dollars by detector, of all billing groups.
    """

    month: date
    units: dict[str, Decimal]
    usd: dict[str, Decimal]


_TOTALS = """
    SELECT detector, billing_group, billed_units, price_usd
    FROM monthly_spending
    WHERE month = %(month)s
        AND (detector = ANY (%(detector)s::text[])
            OR billing_group = ANY (%(billing_group)s::text[]))
"""


def read_totals(
    connection: Connection, month: date, detectors: Collection[str], groups: Collection[str]
) -> MonthTotals:
    """Return a month's cost until now, for these detectors and billing groups."""
    rows = connection.execute(
        _TOTALS, {"month": month, "detector": sorted(detectors), "billing_group": sorted(groups)}
    )
    units = dict.fromkeys(groups, Decimal(0))
    usd = dict.fromkeys(detectors, Decimal(0))
    for detector, group, billed_units, price_usd in rows:
        if group in units:
            units[group] += billed_units
        if detector in usd:
            usd[detector] += price_usd
    return MonthTotals(month, units, usd)
