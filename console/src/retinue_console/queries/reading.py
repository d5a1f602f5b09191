"""Read rows on a connection that the caller lends."""

from collections.abc import Callable
from typing import TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import BaseRowFactory
from retinue_history.db.connections import Connection

T = TypeVar("T")
RowT = TypeVar("RowT")

OPTIONAL_MS = 200
"""Time limit of statements that a page can do without."""


def fetch(connection: Connection, query: sql.Composable, row: BaseRowFactory[RowT]) -> list[RowT]:
    """Return the rows of a query, whose values are in it."""
    with connection.cursor(row_factory=row) as cursor:
        return cursor.execute(_composed(query)).fetchall()


def fetch_within(
    connection: Connection,
    query: sql.Composable,
    row: BaseRowFactory[RowT],
    *,
    milliseconds: int = OPTIONAL_MS,
) -> list[RowT] | None:
    """Return the rows of a query that a page can do without; ``None`` if it takes too long."""
    return within(connection, milliseconds, lambda: fetch(connection, query, row))


def within(connection: Connection, milliseconds: int, read: Callable[[], T]) -> T | None:
    """Return a function's result; ``None`` if one of its statements takes too long."""
    try:
        # The rollback restores the caller's limit.
        with connection.transaction(force_rollback=True):
            connection.execute(f"SET LOCAL statement_timeout = {milliseconds:d}".encode())
            return read()
    except psycopg.errors.QueryCanceled:
        return None


def _composed(query: sql.Composable) -> sql.Composed:
    return query if isinstance(query, sql.Composed) else sql.Composed([query])
