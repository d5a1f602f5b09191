"""The errors of the history, by the caller's next step.

::

    RuntimeError
     └── HistoryError                    anything below
          ├── HistoryUnavailableError    nothing can be recorded now: keep the messages, retry
          │    └── HistorySetupError     ... until the database or its pooler is set up otherwise
          │         └── HistorySchemaError    ... or migrated, or Retinue updated
          ├── HistoryDataError           Postgres can never hold these records
          └── QueryError                 an analyst's SQL was refused

Catch ``HistoryUnavailableError`` to wait, and ``HistoryDataError`` to reject the records. Another
``HistoryError`` is a bug in Retinue.
"""


class HistoryError(RuntimeError):
    """The history could not execute a request."""


class HistoryUnavailableError(HistoryError):
    """The database can't answer or accept rows now. The records aren't the cause.

    It is unreachable, restarting, read-only after a failover, out of connections or disk, or it
    refuses the login or a permission. The call recorded nothing, unless the connection
    broke during the commit itself; recording again is safe in either case.
    """


class HistorySetupError(HistoryUnavailableError):
    """The configuration of the database or its pooler must change. The message has the remedy."""


class HistorySchemaError(HistorySetupError):
    """The database is older than this code. Run ``retinue migrate``.

    It counts as unavailable, because a worker should wait after an old snapshot was restored.
    """


class HistoryDataError(HistoryError):
    """Postgres can't store these records: NUL or a lone surrogate in a text, a value out of range.

    The call recorded nothing. Record the images one by one to find the bad one.
    """


class QueryError(HistoryError):
    """A query was refused. The message contains Postgres' own message, hint and position."""
