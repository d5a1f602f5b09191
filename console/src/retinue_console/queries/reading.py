"""Read rows on a connection that the caller lends."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import BaseRowFactory
from retinue_history import HistoryError
from retinue_history.db.connections import Connection
from retinue_history.db.error_mapping import is_timeout

T = TypeVar("T")
RowT = TypeVar("RowT")

OPTIONAL_MS = 200
"""Time limit of statements that a page can do without."""


def fetch(connection: Connection, query: sql.Composable, row: BaseRowFactory[RowT]) -> list[RowT]:
    """Return the rows of a query, whose values are in it."""
    with connection.cursor(row_factory=row) as cursor:
        return cursor.execute(_composed(query)).fetchall()


def fetch_within(
    connection: Connection, query: sql.Composable, row: BaseRowFactory[RowT]
) -> list[RowT] | None:
    """Return the rows of a query that a page can do without; ``None`` if it takes too long."""
    return within(connection, OPTIONAL_MS, lambda: fetch(connection, query, row))


def within(connection: Connection, milliseconds: int, read: Callable[[], T]) -> T | None:
    """Return a function's result; ``None`` if one of its statements takes too long."""
    try:
        # The rollback restores the caller's limit.
        with connection.transaction(force_rollback=True):
            connection.execute(f"SET LOCAL statement_timeout = {milliseconds:d}".encode())
            return read()
    except (psycopg.Error, HistoryError) as error:
        if is_timeout(error):
            return None
        raise


def largest_part(
    connection: Connection, sizes: Sequence[int], milliseconds: int, read: Callable[[int], T]
) -> tuple[int, T] | None:
    """Read the largest part of a history that doesn't take too long.

    Args:
        connection: The connection that the function reads from.
        sizes: The sizes of the parts, the largest first. A try that takes too long still brings
            data into the server's memory, which the next one needs.
        milliseconds: Time limit of each statement.
        read: Reads a part of this size.

    Returns:
        The size, and the function's result; ``None`` if the smallest part takes too long.
    """
    for size in sizes:
        found = within(connection, milliseconds, partial(read, size))
        if found is not None:
            return size, found
    return None


def _composed(query: sql.Composable) -> sql.Composed:
    return query if isinstance(query, sql.Composed) else sql.Composed([query])
