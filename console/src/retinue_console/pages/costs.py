"""Costs against budgets, and hosted models."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from retinue_console.page import Call, Page, Parameters
from retinue_console.queries.costs import (
    DayCost,
    Model,
    MonthCost,
    Session,
    day_costs,
    list_models,
    list_sessions,
    month_costs,
)


@dataclass(frozen=True, slots=True)
class CostsPage:
    """The data of the page.

    Attributes:
        months: The costs of the last twelve months, by detector; the newest month first.
        budgets: The monthly budget of each detector that has one, in US dollars.
        days: The costs of the last 30 days.
    """

    months: tuple[MonthCost, ...]
    budgets: Mapping[str, Decimal]
    days: tuple[DayCost, ...]


@dataclass(frozen=True, slots=True)
class ModelsPage:
    """The data of the page.

    Attributes:
        models: The hosted models.
        sessions: The last times for which they were hosted.
    """

    models: tuple[Model, ...]
    sessions: tuple[Session, ...]


def costs(call: Call[Parameters]) -> Page[CostsPage]:
    """Show the costs of detectors."""
    with call.database.read() as connection:
        months = month_costs(connection)
        days = day_costs(connection)
    data = CostsPage(tuple(months), call.services.budgets, tuple(days))
    return Page("costs.html", "Costs", data, rows=data.days or data.months)


def models(call: Call[Parameters]) -> Page[ModelsPage]:
    """Show hosted models, and the cost of each session."""
    with call.database.read() as connection:
        data = ModelsPage(tuple(list_models(connection)), tuple(list_sessions(connection)))
    return Page("models.html", "Models", data, rows=data.sessions)
