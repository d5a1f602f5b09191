"""Reading much of the history at once: one snapshot, row by row, in constant memory."""

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

import psycopg
from psycopg import sql
from psycopg.abc import Buffer
from sqlalchemy import URL

from retinue_history.db.engine import connect
from retinue_history.db.errors import HistorySchemaError, HistoryUnavailableError, QueryError

Query: TypeAlias = sql.SQL | sql.Composed

FETCH_ROWS = 2_000
"""Rows that a cursor fetches at once: bounds its memory, and hides the round trip."""

_NOT_MIGRATED = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
)


class Snapshot:
    """One moment of the history, for as many questions as it takes; made by ``snapshot``."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def rows(
        self, query: Query, parameters: Mapping[str, Any] | None = None
    ) -> Generator[tuple[Any, ...]]:
        """Rows of a query, fetched as they are wanted.

        Args:
            query: What to select.
            parameters: Its parameters; without any, percent signs in it are its own.

        Raises:
            HistoryUnavailableError: The database cannot answer.
            QueryError: It refuses the query.
        """
        with _map_errors(), self._connection.cursor(name="retinue") as cursor:
            cursor.itersize = FETCH_ROWS
            cursor.execute(query, parameters)
            yield from cursor

    def copy(self, query: Query, options: Query) -> Generator[Buffer]:
        """A query's rows as COPY writes them, about one row at a time.

        Args:
            query: What to select.
            options: What stands in the parentheses after ``WITH``, such as ``FORMAT csv``.

        Raises:
            HistoryUnavailableError: The database cannot answer.
        """
        statement = sql.SQL("COPY ({}) TO STDOUT WITH ({})").format(query, options)
        with _map_errors(), self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            yield from copy

    def one(self, query: Query) -> tuple[Any, ...]:
        """The single row of a query."""
        with _map_errors():
            return cast("tuple[Any, ...]", self._connection.execute(query).fetchone())

    def estimate(self, query: Query) -> int:
        """About how many rows a query will have, as the planner guesses; costs nothing."""
        [[plan]] = self.one(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(query))
        plan = json.loads(plan) if isinstance(plan, str) else plan
        return int(plan["Plan"]["Plan Rows"])


@contextmanager
def snapshot(url: str | URL, application_name: str = "retinue export") -> Iterator[Snapshot]:
    """Read the history as it is now, however long that takes and whatever is recorded meanwhile.

    Args:
        url: The database; the login need only be a reader.
        application_name: What the server lists it under.

    Raises:
        HistoryUnavailableError: The database cannot be reached.
        HistorySchemaError: It is not migrated.
        ValueError: The URL makes no sense.
    """
    with connect(url, application_name) as connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with _map_errors():
            # A reader's queries are cut off after 30 seconds; this is no question of the moment.
            connection.execute("SET LOCAL statement_timeout = 0")
            # Numbers and times that read the same everywhere, whatever the server's settings.
            connection.execute("SET LOCAL TimeZone = 'UTC'")
            connection.execute("SET LOCAL DateStyle = 'ISO'")
            connection.execute("SELECT 1")  # the first query is what fixes the moment
        try:
            yield Snapshot(connection)
        finally:
            if not connection.closed:
                connection.close()  # also in the midst of a COPY, which a rollback would read on


@contextmanager
def _map_errors() -> Iterator[None]:
    try:
        yield
    except _NOT_MIGRATED as error:
        raise HistorySchemaError(f"{error.diag.message_primary}: run `retinue migrate`") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise HistoryUnavailableError(str(error).strip()) from error
    except psycopg.Error as error:
        raise QueryError(str(error).strip()) from error
