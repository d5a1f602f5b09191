"""What an answer says was billed, whatever else is wrong with it."""

from decimal import Decimal

from retinue_sdk import DetectorError, Findings

_DIGITS = 12
"""Most digits of a bill before its decimal point, and most places after it."""


def billed_units(answer: object) -> Decimal:
    """Return the units that an answer says were billed; 0 if it does not say so validly."""
    if not isinstance(answer, Findings | DetectorError):
        return Decimal(0)
    units = getattr(answer, "billed_units", None)
    if not isinstance(units, Decimal) or not units.is_finite() or units < 0:
        return Decimal(0)
    return units if is_plausible(units) else Decimal(0)


def is_plausible(units: Decimal) -> bool:
    """Return whether a finite bill can be stored and added up exactly."""
    return not units or -_DIGITS <= units.adjusted() <= _DIGITS
