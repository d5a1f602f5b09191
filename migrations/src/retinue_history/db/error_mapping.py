"""Map database errors to the package's errors: wait, migrate, or reject the records.

Only an error about values rejects the records. Any other error, known or not, counts as an
unavailable database.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from retinue_history.db.errors import (
    HistoryDataError,
    HistoryError,
    HistorySchemaError,
    HistorySetupError,
    HistoryUnavailableError,
)

# SQLSTATEs and their classes, https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONFLICTS = {"40001", "40P01"}  # serialization failure, deadlock
_NOT_MIGRATED = {"42P01", "42703", "42883", "3F000"}  # no such table, column, function, schema
_QUERY_CANCELED = "57014"
_REFUSED = {"42501"}  # insufficient privilege
_LOCKED = "55P03"  # lock not available
# Errors of a row's values. All other errors of Postgres affect every row.
_DATA_CLASSES = {
    "20",  # case not found
    "21",  # cardinality
    "22",  # data: out of range, not in the encoding, not JSON
    "23",  # integrity
    "27",  # a trigger changed the row before
    "44",  # a view's check option
    "54",  # program limit: an index row, the depth of JSON
    "P0",  # raised by a trigger
}
# Another session, possibly of another server, may succeed: read-only after a failover, a statement
# that isn't prepared (a pooler), a broken connection, a server that shuts down.
_UNUSABLE = {"25006", "57P01", "57P02", "57P03", "57P05"}
_UNUSABLE_CLASSES = {"08", "26"}
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)
# Refusals of poolers, which have no SQLSTATE: PgBouncer, and Amazon RDS Proxy.
_NO_TRANSACTIONS = "statement pooling"
_NO_PARAMETER = ("unsupported startup parameter", "command-line options")
# Refusals of new connections, which have no SQLSTATE either: libpq keeps only the text.
_NOT_CONNECTED = (
    "connection failed",
    "connection is bad",
    "connection timeout",
    "failed to resolve",
)
_REMEDIES = {
    r"password authentication failed|no password supplied|PAM authentication failed"
    r'|role "[^"]*" (does not exist|is not permitted)': "Check login and password of the "
    "database URL",
    r'database "[^"]*" does not exist': "Create it, or check the end of the database URL",
    r"no pg_hba.conf entry|SSL|certificate": "The server must accept this login from this address: "
    "check its pg_hba.conf and the database URL's sslmode",
    r"too many clients|remaining connection slots|too many connections": "Wait, or raise the "
    "server's max_connections",
    r"starting up|shutting down|recovery mode": "Wait until it accepts connections",
}
_UNREACHED = "Check the database URL's host and port, and that the server is running"


def is_conflict(error: BaseException | None) -> bool:
    """Return whether a transaction conflicted with another, so that a retry can succeed."""
    return _sqlstate(error) in _CONFLICTS


def is_session_unusable(error: psycopg.Error) -> bool:
    """Return whether the next try should use another connection."""
    state = _sqlstate(error)
    return state in _UNUSABLE or state[:2] in _UNUSABLE_CLASSES


def is_timeout(error: BaseException | None) -> bool:
    """Return whether a statement exceeded its time limit: an error of psycopg, or its mapping."""
    return _QUERY_CANCELED in (_sqlstate(error), _sqlstate(getattr(error, "__cause__", None)))


@contextmanager
def map_errors() -> Iterator[None]:
    """Turn errors of psycopg in a ``with`` block into ``HistoryError``."""
    try:
        yield
    except psycopg.Error as error:
        raise explain(error) from error
    except (OSError, MemoryError) as error:  # for example, too many open files
        raise HistoryUnavailableError(f"the database can't be used: {error!r}") from error
    except UnicodeEncodeError as error:
        raise HistoryDataError(
            f"{error.object[:80]!r} contains a lone surrogate, which is not valid Unicode"
        ) from error


def explain(error: BaseException | None) -> HistoryError:
    """Return the error to raise instead, by SQLSTATE first: psycopg's classes are coarser."""
    state = _sqlstate(error)
    message = _message(error)
    if state in _NOT_MIGRATED:
        return HistorySchemaError(f"{message}: run `retinue migrate`")
    if state[:2] in _DATA_CLASSES or (not state and isinstance(error, psycopg.DataError)):
        return HistoryDataError(message)
    if _NO_TRANSACTIONS in message:
        return HistorySetupError(
            f"the connection pooler refuses transactions ({message}): set its pool mode to "
            "transaction or session"
        )
    if any(refusal in message for refusal in _NO_PARAMETER):
        return HistorySetupError(
            f"the connection pooler refuses a parameter ({message.strip()}): remove it from the "
            "URL and from variables such as PGOPTIONS"
        )
    if state or isinstance(error, _AWAY):
        return HistoryUnavailableError(message)
    return HistoryError(message)


def _sqlstate(error: BaseException | None) -> str:
    return getattr(error, "sqlstate", None) or ""


def _without_server(said: str) -> str:
    """Return the client's own message in one line, and the remedy if there is no connection."""
    # Lines that are indented are libpq's guesses.
    lines = [line.strip() for line in said.splitlines() if line[:1] not in ("\t", " ", "")]
    message = "; ".join(lines)
    if not message.startswith(_NOT_CONNECTED):
        return message
    remedies = (remedy for cause, remedy in _REMEDIES.items() if re.search(cause, message))
    message = message.removeprefix("connection failed: ")
    return f"{message}. {next(remedies, _UNREACHED)}"


def _message(error: BaseException | None) -> str:
    """Return Postgres' message without the statement and its parameters, which may be huge."""
    if not isinstance(error, psycopg.Error):
        return str(error)
    diagnosis = error.diag
    if not diagnosis.message_primary:
        return _without_server(str(error))
    hint = diagnosis.message_hint
    if not hint and diagnosis.sqlstate in _REFUSED:
        hint = (
            "A worker's login must be a member of retinue_writer; migrate, maintain, forget and "
            "import need the tables' owner"
        )
    if not hint and diagnosis.sqlstate == _LOCKED:
        hint = (
            "A table was in use for too long, such as by an export: run the same command again "
            "when it has ended"
        )
    parts = [diagnosis.message_primary, diagnosis.message_detail, hint]
    return ". ".join(part.rstrip(".") for part in parts if part)
