"""A connection that stays open for questions that are asked again and again."""

from typing import Any, LiteralString

import psycopg
from psycopg.rows import BaseRowFactory
from sqlalchemy import URL

from retinue_history.db.engine import connect
from retinue_history.db.errors import HistoryUnavailableError


class StandingConnection:
    """Asks on one connection, each question in a transaction of its own; opens it anew if it broke.

    Args:
        url: The database; the login need only be a reader.
        application_name: What the server lists it under.

    Raises:
        HistoryUnavailableError: It cannot be reached.
    """

    def __init__(self, url: str | URL, application_name: str) -> None:
        self._url = url
        self._application_name = application_name
        self._connection = self._connect()

    def ask(
        self, question: LiteralString, parameters: dict[str, Any], row: BaseRowFactory[Any]
    ) -> list[Any]:
        """All rows of an answer.

        Raises:
            HistoryUnavailableError: The database does not answer now; asking again may help.
        """
        try:
            if self._connection.closed:
                self._connection = self._connect()
            with self._connection.cursor(row_factory=row) as cursor:
                return cursor.execute(question, parameters).fetchall()
        except psycopg.Error as error:
            self._connection.close()
            raise HistoryUnavailableError(str(error).strip()) from error

    def close(self) -> None:
        """Let the connection go."""
        self._connection.close()

    def _connect(self) -> psycopg.Connection[Any]:
        return connect(self._url, self._application_name, autocommit=True)
