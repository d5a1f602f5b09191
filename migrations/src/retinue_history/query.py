"""An analyst's question: one statement, read only, a bounded answer."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from sqlalchemy import URL

from retinue_history.engine import history_url
from retinue_history.errors import HistoryUnavailableError, QueryError

DEFAULT_ROW_LIMIT = 1000
DEFAULT_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What a query returned.

    Attributes:
        columns: The columns' names, in order; not necessarily distinct.
        rows: The rows, as Python values.
        truncated: Whether there were more rows than the limit.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    truncated: bool


def run_query(
    url: str | URL,
    sql: str,
    *,
    row_limit: int = DEFAULT_ROW_LIMIT,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
) -> QueryResult:
    """Run one statement in a READ ONLY transaction that is rolled back.

    What the login may see is for the database to say: give analysts ``retinue_reader``. A
    superuser can read files and run programs even from a read-only transaction.

    Args:
        url: The database; ``postgresql://…``.
        sql: One statement: SELECT, EXPLAIN, SHOW, … The server refuses several.
        row_limit: Most rows to return, at least 1; no more than that is held in memory.
        timeout_seconds: Longest it may take.

    Raises:
        QueryError: The database refused it; the message says why, where, and what might help.
        HistoryUnavailableError: The database cannot be reached.
        ValueError: The URL or the limit makes no sense.
    """
    if row_limit < 1:
        raise ValueError(f"row_limit must be 1 or more, not {row_limit}")
    address = history_url(url).set(drivername="postgresql")
    try:
        connection = psycopg.connect(
            address.render_as_string(hide_password=False),
            application_name="retinue query",
            connect_timeout=5,
        )
    except psycopg.Error as error:
        raise HistoryUnavailableError(str(error)) from error
    with closing(connection):
        connection.read_only = True
        try:
            # Postgres lets a transaction become read-write only before its first query: this is it.
            connection.execute(
                "SELECT set_config('statement_timeout', %s, true)",
                [str(round(timeout_seconds * 1000))],
            )
            return _ask(connection, sql, row_limit)
        except UnicodeEncodeError as error:
            raise QueryError("the query contains a lone surrogate, not valid Unicode") from error
        except psycopg.Error as error:
            if connection.broken:
                raise HistoryUnavailableError(str(error)) from error
            raise QueryError(_friendly(error, sql)) from error


def _ask(connection: psycopg.Connection[Any], sql: str, row_limit: int) -> QueryResult:
    cursor = connection.cursor()
    rows: list[tuple[Any, ...]] = []
    # stream() asks through the extended protocol, which takes one statement only, and fetches row
    # by row; closing it early cancels the rest.
    stream = cast("Generator[tuple[Any, ...]]", cursor.stream(sql))
    with closing(stream):
        for row in stream:
            if len(rows) == row_limit:
                return QueryResult(_names(cursor), rows, truncated=True)
            rows.append(row)
    return QueryResult(_names(cursor), rows, truncated=False)


def _names(cursor: psycopg.Cursor[Any]) -> tuple[str, ...]:
    if cursor.description is not None:
        return tuple(column.name for column in cursor.description)
    # An empty stream does not say what its columns are; the statement, still parsed, does.
    described = cursor.connection.pgconn.describe_prepared(b"")
    names = (described.fname(number) for number in range(described.nfields))
    return tuple((name or b"").decode() for name in names)


def _friendly(error: psycopg.Error, sql: str) -> str:
    """Postgres' message, the line it points at with a caret, and its hint."""
    said = error.diag
    lines = [said.message_primary or str(error)]
    if said.statement_position:
        before = sql[: int(said.statement_position) - 1]
        line = sql.splitlines()[before.count("\n")] if sql else ""
        column = len(before) - (before.rfind("\n") + 1)
        prefix = f"  line {before.count(chr(10)) + 1}: "
        lines += [prefix + line, " " * (len(prefix) + column) + "^"]
    if said.message_detail:
        lines.append(f"Detail: {said.message_detail}")
    if said.message_hint:
        lines.append(f"Hint: {said.message_hint}")
    return "\n".join(lines)
