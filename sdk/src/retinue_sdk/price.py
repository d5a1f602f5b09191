"""A provider's prices, in tiers."""

from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Tier:
    """A price for a number of units per month.

    Attributes:
        up_to_units: Units per month up to which the price applies; ``None`` for the last tier.
        usd: Price of a unit, in US dollars; 0 or more.

    Raises:
        ValueError: A value is outside its range.
    """

    up_to_units: int | None
    usd: Decimal

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for an invalid number of units or price."""
        if self.up_to_units is not None and self.up_to_units <= 0:
            raise ValueError(f"a tier must reach up to 1 unit or more, not {self.up_to_units}")
        if not self.usd.is_finite() or self.usd < 0:
            raise ValueError(f"a price must be 0 or more, not {self.usd}")


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a unit, depending on the month's number of units.

    Attributes:
        tiers: The tiers in order; the last has no limit.
        billing_group: The name of the group whose units the provider counts together. All detectors
            with this group share its tiers.

    Raises:
        ValueError: The tiers are out of order, or the last one has a limit.
    """

    tiers: tuple[Tier, ...]
    billing_group: str

    def __post_init__(self) -> None:
        """Check that the tiers cover every number of units, each once."""
        limits = [tier.up_to_units for tier in self.tiers]
        if not limits or limits[-1] is not None:
            raise ValueError(
                "the last tier must have no up_to_units: it is the price of all further units"
            )
        inner = [limit for limit in limits[:-1] if limit is not None]
        if len(inner) < len(limits) - 1 or any(b <= a for a, b in pairwise(inner)):
            raise ValueError(f"up_to_units must rise from tier to tier, not {limits}")

    def usd(self, units: Decimal, *, before: Decimal = Decimal(0)) -> Decimal:
        """Return the cost of units in US dollars, if the month has had ``before`` units."""
        total, at, end = Decimal(0), before, before + units
        for tier in self.tiers:
            limit = tier.up_to_units
            until = end if limit is None or end <= limit else Decimal(limit)
            if until > at:
                total += (until - at) * tier.usd
                at = until
            if at >= end:
                break
        return total


def flat(usd: Decimal, billing_group: str) -> Price:
    """Return a price that is the same for every unit."""
    return Price((Tier(None, usd),), billing_group)
