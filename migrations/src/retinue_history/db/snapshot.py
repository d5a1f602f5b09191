"""Read large parts of the history from one snapshot, row by row, in constant memory."""

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

import psycopg
from psycopg import sql
from psycopg.abc import Buffer

from retinue_history.db.connections import connect
from retinue_history.db.errors import HistorySchemaError, HistoryUnavailableError, QueryError

Query: TypeAlias = sql.SQL | sql.Composed

FETCH_ROWS = 2_000
"""Rows that a cursor fetches in one round trip; limits its memory."""

_NOT_MIGRATED = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
)


class Snapshot:
    """The history at one moment, for any number of queries. ``snapshot`` creates it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def rows(
        self, query: Query, parameters: Mapping[str, Any] | None = None
    ) -> Generator[tuple[Any, ...]]:
        """Yield the rows of a query as they are needed.

        Args:
            query: The query.
            parameters: Its parameters. Without any, percent signs are literal.

        Raises:
            HistoryUnavailableError: The database can't answer.
            QueryError: The query was refused.
        """
        with _map_errors(), self._connection.cursor(name="retinue") as cursor:
            cursor.itersize = FETCH_ROWS
            cursor.execute(query, parameters)
            yield from cursor

    def copy(self, query: Query, options: Query) -> Generator[Buffer]:
        """Yield a query's rows in COPY's format, about one row at a time.

        Args:
            query: The query.
            options: The options of COPY, such as ``FORMAT csv``.

        Raises:
            HistoryUnavailableError: The database cannot answer.
        """
        statement = sql.SQL("COPY ({}) TO STDOUT WITH ({})").format(query, options)
        with _map_errors(), self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            yield from copy

    def one(self, query: Query) -> tuple[Any, ...]:
        """Return the single row of a query."""
        with _map_errors():
            return cast("tuple[Any, ...]", self._connection.execute(query).fetchone())

    def estimate(self, query: Query) -> int:
        """Return the planner's estimate of how many rows a query has."""
        [[plan]] = self.one(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(query))
        plan = json.loads(plan) if isinstance(plan, str) else plan
        return int(plan["Plan"]["Plan Rows"])


@contextmanager
def snapshot(url: str, application_name: str = "retinue export") -> Iterator[Snapshot]:
    """Open a snapshot of the history, which later writes don't change.

    Args:
        url: The database; the login can be a reader.
        application_name: Shown in ``pg_stat_activity``.

    Raises:
        HistoryUnavailableError: The database cannot be reached.
        HistorySchemaError: It isn't migrated.
        ValueError: The URL is invalid.
    """
    with connect(url, application_name) as connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with _map_errors():
            # A reader's statements time out after 30 seconds, and its idle transactions after a
            # minute. A snapshot can take longer, and its rows wait for S3, or for a pipe.
            connection.execute("SET LOCAL statement_timeout = 0")
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            # The same text for numbers and times, independent of the server's settings.
            connection.execute("SET LOCAL TimeZone = 'UTC'")
            connection.execute("SET LOCAL DateStyle = 'ISO'")
            connection.execute("SELECT 1")  # the first query takes the snapshot
        try:
            yield Snapshot(connection)
        finally:
            if not connection.closed:
                connection.close()  # even during a COPY, which a rollback would read to its end


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
