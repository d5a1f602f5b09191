"""The errors of the history, by what to do next.

::

    RuntimeError
     └── HistoryError                    anything below
          ├── HistoryUnavailableError    nothing can be recorded now: keep the messages, retry
          │    └── HistorySetupError     ... until the database or its pooler is set up otherwise
          │         └── HistorySchemaError    ... or migrated, or Retinue updated
          ├── HistoryDataError           Postgres can never hold these records
          └── QueryError                 an analyst's SQL was refused

Catch ``HistoryUnavailableError`` to wait and ``HistoryDataError`` to blame the records. A
``HistoryError`` that is neither is a bug in Retinue.
"""


class HistoryError(RuntimeError):
    """The history could not do what was asked."""


class HistoryUnavailableError(HistoryError):
    """The database can't answer or take rows now; the records are not to blame.

    It is unreachable, restarting, read-only after a failover, out of connections or disk, or it
    refuses the login or a permission. Nothing of the call was recorded, unless the connection
    broke during the commit itself; recording again is safe in either case.
    """


class HistorySetupError(HistoryUnavailableError):
    """The database, or the pooler before it, must be set up otherwise; the message says how."""


class HistorySchemaError(HistorySetupError):
    """The database is older than this code; run ``retinue migrate``.

    It counts as unavailable, because a worker that runs into it (an old snapshot was restored)
    should wait.
    """


class HistoryDataError(HistoryError):
    """Postgres cannot hold these records: NUL or a lone surrogate in a text, a value out of range.

    Nothing of the call was recorded. Record the images one by one to find the bad one.
    """


class QueryError(HistoryError):
    """A query was refused. The message carries Postgres' own message, hint and position."""
