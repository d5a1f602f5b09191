"""A connection that stays open between queries, for programs that repeat a query."""

from typing import Any, LiteralString

import psycopg
from psycopg.rows import BaseRowFactory

from retinue_history.db.connections import connect
from retinue_history.db.errors import HistoryUnavailableError


class PersistentConnection:
    """Runs each query in a transaction of its own, and reconnects after the connection broke.

    Args:
        url: The database; the login can be a reader.
        application_name: Shown in ``pg_stat_activity``.

    Raises:
        HistoryUnavailableError: The database can't be reached.
    """

    def __init__(self, url: str, application_name: str) -> None:
        self._url = url
        self._application_name = application_name
        self._connection = self._connect()

    def fetch(
        self, query: LiteralString, parameters: dict[str, Any], row: BaseRowFactory[Any]
    ) -> list[Any]:
        """Return all rows of a query.

        Raises:
            HistoryUnavailableError: The database doesn't answer now; a retry may help.
        """
        try:
            if self._connection.closed:
                self._connection = self._connect()
            with self._connection.cursor(row_factory=row) as cursor:
                return cursor.execute(query, parameters).fetchall()
        except psycopg.Error as error:
            self._connection.close()
            raise HistoryUnavailableError(str(error).strip()) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _connect(self) -> psycopg.Connection[Any]:
        return connect(self._url, self._application_name, autocommit=True)
