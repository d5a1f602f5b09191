"""The route table: every page of the console, with the right that it takes."""

from retinue_console.access.identity import Right
from retinue_console.page import Route
from retinue_console.pages.overview import Overview, overview

ROUTES: tuple[Route, ...] = (
    Route(
        "/",
        overview,
        "The newest images, and how processing goes",
        Right.VIEWER,
        answer=Overview,
        has_csv=True,
        menu="Overview",
    ),
)
"""Starlette's routes, the navigation and the OpenAPI document are made from it. Tests walk it."""
