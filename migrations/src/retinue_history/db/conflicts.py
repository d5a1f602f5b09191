"""Repeat a transaction that conflicted with another."""

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from retinue_history.db.error_mapping import is_conflict, map_errors
from retinue_history.db.errors import HistoryUnavailableError

_ATTEMPTS = 5

T = TypeVar("T")


def retry_conflicts(transaction: Callable[[], T]) -> T:
    """Run a transaction. Repeat it if Postgres ended it because of another one (a deadlock).

    Raises:
        HistoryUnavailableError: The database can't answer now, or each attempt conflicted.
        HistoryDataError: The database can never store the values.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        with map_errors():
            try:
                return transaction()
            except psycopg.Error as error:
                if not is_conflict(error):
                    raise
        time.sleep(0.02 * attempt)
    raise HistoryUnavailableError(
        f"the transaction conflicted with others {_ATTEMPTS} times in a row"
    )
