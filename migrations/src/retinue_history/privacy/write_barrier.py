"""Wait until all writers have seen the forbidden names or images."""

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from retinue_history.db.errors import HistoryUnavailableError
from retinue_history.db.lock_retry import LOCK_TIMEOUT, retry_on_lock_timeout, timed_out

TRIES = 300
"""Number of tries of a second or more: longer than a worker's transaction, and most imports."""


def exclude_writers(connection: Connection) -> None:
    """Lock every row that writers share one of, until the transaction ends. Keep it short.

    Raises:
        HistoryUnavailableError: Another transaction was writing for too long.
    """
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))

    def lock() -> None:
        with connection.begin_nested():
            connection.execute(
                text("SELECT FROM record_locks WHERE purpose = 'erasure' ORDER BY place FOR UPDATE")
            )

    try:
        retry_on_lock_timeout(lock, tries=TRIES, pause_seconds=0.2)
    except OperationalError as error:
        if not timed_out(error):
            raise
        raise HistoryUnavailableError(
            "another transaction, such as an import, has been writing to this database for "
            "minutes. When it has ended, run the same command again"
        ) from error
