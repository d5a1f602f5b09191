"""A lock that one process holds while it changes the whole history."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text

from retinue_history.db.errors import HistoryUnavailableError

_POLL_SECONDS = 0.2


@contextmanager
def advisory_lock(
    engine: Engine, lock: int, *, refusal: str, timeout_seconds: float = 0.0
) -> Iterator[None]:
    """Hold an advisory lock for a ``with`` block.

    A transaction on a connection of its own holds it: behind a pooler, a lock of the session would
    stay with whichever session it was. While the transaction is idle it has no snapshot, so that a
    CREATE INDEX CONCURRENTLY doesn't wait for it. For the same reason the lock is polled for.

    Args:
        engine: The database. A pool of one connection is enough.
        lock: The lock's number.
        refusal: The error's message.
        timeout_seconds: How long to wait for the lock.

    Raises:
        HistoryUnavailableError: Another process holds it.
    """
    deadline = time.monotonic() + timeout_seconds
    read_committed = engine.execution_options(isolation_level="READ COMMITTED")
    with read_committed.connect() as connection:
        connection.detach()
        while not connection.scalar(
            text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": lock}
        ):
            connection.rollback()
            if time.monotonic() >= deadline:
                raise HistoryUnavailableError(refusal)
            time.sleep(_POLL_SECONDS)
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield
