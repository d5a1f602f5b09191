"""Test the cost of units in tiers, and invalid tiers."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retinue_sdk import InvalidImageError, Price, RetriableError, Tier

PRICE = Price(
    (
        Tier(1_000, Decimal("0.001")),
        Tier(5_000, Decimal("0.0008")),
        Tier(None, Decimal("0.0005")),
    ),
    "images",
)
UNITS = st.integers(0, 10_000).map(Decimal)


@pytest.mark.parametrize(
    ("before", "units", "usd"),
    [
        (0, 1, "0.001"),
        (0, 1_000, "1"),
        (999, 2, "0.0018"),
        (1_000, 1, "0.0008"),
        (0, 6_000, "4.7"),
        (7_000, 10, "0.005"),
        (7_000, 0, "0"),
    ],
)
def test_each_unit_costs_what_its_tier_says(before: int, units: int, usd: str) -> None:
    assert PRICE.usd(Decimal(units), before=Decimal(before)) == Decimal(usd)


@given(before=UNITS, first=UNITS, second=UNITS)
def test_it_does_not_matter_how_units_are_divided(
    before: Decimal, first: Decimal, second: Decimal
) -> None:
    together = PRICE.usd(first + second, before=before)
    apart = PRICE.usd(first, before=before) + PRICE.usd(second, before=before + first)
    assert together == apart


@pytest.mark.parametrize(
    "limits", [[], [None, None], [5, 5, None], [5, 4, None], [5], [None, 5, None]]
)
def test_tiers_that_leave_something_out_are_refused(limits: list[int | None]) -> None:
    with pytest.raises(ValueError, match="up_to_units"):
        Price(tuple(Tier(limit, Decimal(1)) for limit in limits), "images")


@pytest.mark.parametrize("limit", [0, -5])
def test_an_empty_tier_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="1 unit"):
        Tier(limit, Decimal(1))


@pytest.mark.parametrize("usd", ["-1", "NaN", "sNaN", "Infinity"])
def test_a_price_that_is_none_is_refused(usd: str) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        Tier(None, Decimal(usd))


def test_an_error_can_have_cost_something() -> None:
    assert InvalidImageError(billed_units=2).billed_units == 2
    assert RetriableError().billed_units == 0
    with pytest.raises(ValueError, match="0 or more"):
        RetriableError(billed_units=-1)
    with pytest.raises(ValueError, match="0 or more"):
        RetriableError(billed_units=Decimal("sNaN"))
