"""Waiting until every writer has committed who may not have seen what an erasure forbids."""

import time

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from retinue_history.db.errors import HistoryUnavailableError

LOCK = 5928237158326682882
"""The advisory lock that the triggers of revisions 0004 and 0006 share: "RETINU", 2."""

TRIES = 300
"""Times a second or more: longer than any transaction of a worker, and than most imports."""

_LOCK_NOT_AVAILABLE = "55P03"


def shut_out_writers(connection: Connection) -> None:
    """Be the only one with this lock until the transaction ends; it must be a short one.

    New writers queue behind whoever waits for it. So it is given up after a second, and tried for
    again.

    Raises:
        HistoryUnavailableError: A transaction of somebody else went on for too long.
    """
    connection.execute(text("SET LOCAL lock_timeout = '1s'"))
    for _ in range(TRIES):
        try:
            with connection.begin_nested():
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            time.sleep(0.2)
        else:
            return
    raise HistoryUnavailableError(
        "a transaction on this database has been writing for minutes (an import?): nothing can be "
        "forgotten before it ends. Run the same command again then"
    )
