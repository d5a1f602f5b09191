"""Read the billed units of an answer, even if the rest is invalid."""

from decimal import Decimal

from retinue_sdk import DetectorError, Findings

_DIGITS = 12
"""Maximum number of a bill's digits before the decimal point, and of its decimal places."""


def billed_units(answer: object) -> Decimal:
    """Return the billed units of an answer; 0 if they are missing or invalid."""
    if not isinstance(answer, Findings | DetectorError):
        return Decimal(0)
    units = getattr(answer, "billed_units", None)
    if not isinstance(units, Decimal) or not units.is_finite() or units < 0:
        return Decimal(0)
    return units if is_plausible(units) else Decimal(0)


def is_plausible(units: Decimal) -> bool:
    """Return whether a finite bill can be stored and summed exactly."""
    return not units or -_DIGITS <= units.adjusted() <= _DIGITS
