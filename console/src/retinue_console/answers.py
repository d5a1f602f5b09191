"""Pages as HTML, JSON and CSV."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from json import dumps
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from pydantic_core import to_json
from retinue_sdk import Media, media_of
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from retinue_console.access.identity import Identity
from retinue_console.page import Page, Route, with_suffix
from retinue_console.shapes import shapes_of
from retinue_console.static_files import StaticFiles

CURSOR = "after"
"""The parameter with the place where a list continues. Links that change a filter omit it."""

_PRIVATE = {"Cache-Control": "private, no-cache"}

_LINE = 80
"""Characters of a text in a list."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters by which a spreadsheet recognises a formula."""


class Answers:
    """Turns pages into responses.

    Args:
        routes: The route table, for the navigation.
        static: The static files.
        sign_out: The path to send a POST to, to sign out; ``None`` where there is none.
    """

    def __init__(
        self, routes: Sequence[Route], static: StaticFiles, sign_out: str | None = None
    ) -> None:
        self._sign_out = sign_out
        self._menu = [route for route in routes if route.menu is not None]
        self._static = static
        self._environment = Environment(
            loader=PackageLoader("retinue_console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "json": lambda value: to_json(value, inf_nan_mode="null").decode(),
            "count": count,
            "percent": percent,
            "usd": usd,
            "time": time,
            "brief": brief,
            "next_month": next_month,
            "pretty": pretty,
            "cell": cell,
            "prose": prose,
            "plus_days": plus_days,
            "bars": bars,
            "shapes": shapes_of,
            "largest_first": largest_first,
            "clock": clock,
            "is_video": lambda key: media_of(key) is Media.VIDEO,
        }

    def html(
        self, request: Request, page: Page[Any], identity: Identity | None, route: Route | None
    ) -> Response:
        """Return a page as HTML.

        Args:
            request: The request.
            page: The page.
            identity: The visitor; ``None`` if unknown, as on some error pages.
            route: The page's route; ``None`` for an error.
        """
        root: str = request.scope.get("root_path", "")

        def url(path: str, **query: Any) -> str:
            return root + path + _query(query)

        def here(**changes: Any) -> str:
            kept = {
                name: request.query_params.getlist(name)
                for name in request.query_params
                if name != CURSOR
            }
            return _query(kept | changes) or url(_path(request))

        def other(suffix: str) -> str:
            return url(with_suffix(_path(request), suffix)) + _query(
                {name: request.query_params.getlist(name) for name in request.query_params}
            )

        text = self._environment.get_template(page.template).render(
            page=page,
            data=page.data,
            identity=identity,
            menu=[
                (one.menu, url(one.path), one is route)
                for one in self._menu
                if identity is not None and identity.may(one.right)
            ],
            route=route,
            sign_out=None if self._sign_out is None else url(self._sign_out),
            url=url,
            here=here,
            other=other,
            static=lambda name: root + self._static.path(name),
            parameters=request.query_params,
            today=lambda: datetime.now(UTC).date(),
        )
        return HTMLResponse(text, page.status, headers=_PRIVATE)


def json(page: Page[Any]) -> Response:
    """Return a page's data as JSON."""
    return Response(
        to_json(page.data, indent=2, inf_nan_mode="null") + b"\n",
        page.status,
        headers=_PRIVATE,
        media_type="application/json",
    )


def as_csv(page: Page[Any], name: str) -> Response:
    """Return a page's rows as CSV. Texts that a spreadsheet would take for formulas are quoted.

    Args:
        page: The page; it has rows.
        name: The name of the file to save it as.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    rows = page.rows or ()
    columns = page.columns
    if columns is None and rows:
        columns = [field.name for field in fields(rows[0])]
    if columns is not None:
        writer.writerow(map(_cell, columns))
    for row in rows:
        values = _values(row) if is_dataclass(row) else row
        writer.writerow(map(_cell, values))
    return Response(
        text.getvalue(),
        page.status,
        headers=_PRIVATE | {"Content-Disposition": f'attachment; filename="{name}.csv"'},
        media_type="text/csv; charset=utf-8",
    )


def _values(row: Any) -> Iterator[Any]:
    for field in fields(row):
        yield getattr(row, field.name)


def _cell(value: Any) -> object:
    if value is None or isinstance(value, bool | int | float | Decimal):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    text = value if isinstance(value, str) else _text(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _text(value: Any) -> str:
    written = to_json(value, inf_nan_mode="null").decode()
    return written[1:-1] if written.startswith('"') else written


def _path(request: Request) -> str:
    """Return the path of a request below the base path."""
    path: str = request.scope["path"]
    root: str = request.scope.get("root_path", "")
    return path.removeprefix(root) or "/"


def _query(query: dict[str, Any]) -> str:
    given = {name: value for name, value in query.items() if value not in (None, "", [], ())}
    return f"?{urlencode(given, doseq=True)}" if given else ""


def count(value: float) -> str:
    """Write a number with separators of thousands."""
    return f"{value:,}"


def percent(value: float) -> str:
    """Write a ratio or a confidence in percent."""
    return f"{value:.0%}"


def usd(amount: float | Decimal) -> str:
    """Write US dollars; small amounts with four digits."""
    value = Decimal(amount)
    return f"${value:,.4f}" if 0 < abs(value) < 1 else f"${value:,.2f}"


def time(value: datetime | None) -> Markup:
    """Write a moment in UTC, for people and for programs."""
    if value is None:
        return Markup("–")
    moment = value.astimezone(UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(
        escape(moment.isoformat()), f"{moment:%Y-%m-%d %H:%M}"
    )


def brief(text: str) -> str:
    """Shorten a text that is longer than a line."""
    return text if len(text) <= _LINE else f"{text[: _LINE - 1]}…"


def next_month(month: date) -> str:
    """Write the first day of the month after this one."""
    return (month.replace(day=1) + timedelta(days=31)).replace(day=1).isoformat()


def pretty(value: Any) -> str:
    """Write JSON in lines."""
    return dumps(value, indent=2, ensure_ascii=False)


def plus_days(day: date, days: int) -> date:
    """Return a later day."""
    return day + timedelta(days=days)


def largest_first(found: Sequence[Any]) -> list[Any]:
    """Sort detections so that none covers a smaller one when they are drawn in this order."""
    return sorted(
        found, key=lambda one: 0.0 if one.box is None else -one.box.width * one.box.height
    )


def clock(milliseconds: float) -> str:
    """Write a time in a video: minutes and seconds, and hours if there are any."""
    tenths = round(milliseconds / 100)
    seconds, tenth = divmod(tenths, 10)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    written = f"{minute}:{second:02}" if not hours else f"{hours}:{minute:02}:{second:02}"
    return f"{written}.{tenth}" if tenth else written


def bars(values: Sequence[float], height: int) -> str:
    """Draw bars as an SVG path: a bar every 4 units, 3 wide, the highest one of this height."""
    scale = height / max(*values, 1, 1)
    return "".join(
        f"M{4 * place} {height}v{round(-value * scale, 2):g}h3V{height}"
        for place, value in enumerate(values)
        if value
    )


def prose(text: str) -> Markup:
    """Turn the Markdown of a sentence into HTML: code, and the words of links."""
    words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)
    parts = words.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )


def cell(value: Any) -> str:
    """Write a value of any type as text."""
    return value if isinstance(value, str) else _text(value)
