"""Map database errors to the package's errors: wait, migrate, or blame the records."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from retinue_history.db.errors import (
    HistoryDataError,
    HistoryError,
    HistorySchemaError,
    HistoryUnavailableError,
)

# SQLSTATEs, https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONFLICTS = {"40001", "40P01"}  # serialization failure, deadlock
_NOT_MIGRATED = {"42P01", "42703", "42883", "3F000"}  # no such table, column, function, schema
_REFUSED = {"42501"}  # insufficient privilege
_DATA_CLASSES = {"21", "22", "23", "54"}  # cardinality, data, integrity, program limit (index row)


def is_conflict(error: BaseException | None) -> bool:
    """Return whether a transaction conflicted with another, so that a retry can succeed."""
    return _sqlstate(error) in _CONFLICTS


@contextmanager
def map_errors() -> Iterator[None]:
    """Turn errors of psycopg in a ``with`` block into ``HistoryError``."""
    try:
        yield
    except psycopg.Error as error:
        raise explain(error) from error


def explain(error: BaseException | None) -> HistoryError:
    """Return the error to raise instead, by SQLSTATE first: psycopg's classes are coarser."""
    state = _sqlstate(error)
    message = _message(error)
    if state in _NOT_MIGRATED:
        return HistorySchemaError(f"{message}: run `retinue migrate`")
    if state in _REFUSED:
        return HistoryUnavailableError(message)
    if state[:2] in _DATA_CLASSES or (not state and isinstance(error, psycopg.DataError)):
        return HistoryDataError(message)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return HistoryUnavailableError(message)
    if isinstance(error, psycopg.InternalError):  # read-only after a failover, a broken page
        return HistoryUnavailableError(message)
    return HistoryError(message)


def _sqlstate(error: BaseException | None) -> str:
    return getattr(error, "sqlstate", None) or ""


def _message(error: BaseException | None) -> str:
    """Return Postgres' message without the statement and its parameters, which can be megabytes."""
    if not isinstance(error, psycopg.Error):
        return str(error)
    diagnosis = error.diag
    if not diagnosis.message_primary:
        return str(error)
    hint = diagnosis.message_hint
    if not hint and diagnosis.sqlstate in _REFUSED:
        hint = "A worker's login must be a member of retinue_writer"
    parts = [diagnosis.message_primary, diagnosis.message_detail, hint]
    return ". ".join(part.rstrip(".") for part in parts if part)
