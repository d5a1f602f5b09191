"""SQL: one statement that reads, with a link that runs it again."""

from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from retinue_history import QueryError

from retinue_console.page import Call, Page, Parameters
from retinue_console.queries.filters import Word
from retinue_console.recipes import Recipe, recipes


class SqlParameters(Parameters):
    """The parameters of the page of SQL."""

    sql: Word | None = None
    """One statement that reads."""


@dataclass(frozen=True, slots=True)
class SqlPage:
    """The data of the page.

    Attributes:
        sql: The statement.
        columns: The names of the columns.
        rows: The rows.
        truncated: Whether there are more rows than are returned.
        error: Why the statement was refused.
        recipes: Queries to begin with; none beside an answer.
    """

    sql: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    truncated: bool
    error: str | None
    recipes: tuple[Recipe, ...] = ()


def run_sql(call: Call[SqlParameters]) -> Page[SqlPage]:
    """Run a statement, and show its rows."""
    text = call.parameters.sql
    if text is None:
        return Page(
            "sql.html", "SQL", SqlPage("", (), [], False, None, recipes()), rows=(), columns=()
        )
    try:
        result = call.database.query(text)
    except QueryError as error:
        data = SqlPage(text, (), [], False, str(error))
        return Page("sql.html", "SQL", data, rows=(), columns=(), status=400)
    rows = [tuple(map(_plain, row)) for row in result.rows]
    data = SqlPage(text, result.columns, rows, result.truncated, None)
    return Page("sql.html", "SQL", data, rows=data.rows, columns=data.columns)


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold: a type that it doesn't know as text."""
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    known = (str, int, float, Decimal, date, time, timedelta, UUID, dict, list)
    return value if value is None or isinstance(value, known) else str(value)
