"""What can go wrong with the history, by what to do next.

::

    RuntimeError
     └── HistoryError                    anything below
          ├── HistoryUnavailableError    nothing can be recorded now: hold the messages, try again
          │    └── HistorySchemaError    ... until someone migrates (or updates Retinue)
          ├── HistoryDataError           Postgres cannot hold these records, ever
          └── QueryError                 an analyst's SQL was refused: where and why

Catch ``HistoryUnavailableError`` to wait and ``HistoryDataError`` to blame the records. A
``HistoryError`` that is neither is a bug in Retinue.
"""


class HistoryError(RuntimeError):
    """The history could not do what was asked."""


class HistoryUnavailableError(HistoryError):
    """The database cannot answer or take rows now; the records are not to blame.

    It is unreachable, restarting, read-only after a failover, out of connections or disk, or it
    refuses the login or a permission. Nothing of the call was recorded, unless the connection
    broke during the commit itself; recording again is safe in either case.
    """


class HistorySchemaError(HistoryUnavailableError):
    """The database is not at the revision this code was written for; ``retinue migrate`` mends it.

    An unavailable history too, because a worker that meets it while working (someone migrated
    down, or restored an old snapshot) should wait like for a database away.
    """


class HistoryDataError(HistoryError):
    """Postgres cannot hold these records: NUL or a lone surrogate in a text, a value out of range.

    Nothing of the call was recorded. Recording the images one by one finds the culprit.
    """


class QueryError(HistoryError):
    """A query was refused. The message carries Postgres' own message, hint and position."""
