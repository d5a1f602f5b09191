"""Connections to the history's database, directly or through a pooler.

A pooler may give each transaction of a connection another session, and may refuse startup
parameters. So nothing depends on a session: there are no statements prepared in the server, and no
locks or tables that outlive a transaction.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DisconnectionError

from retinue_history.db.error_mapping import is_session_unusable
from retinue_history.db.errors import HistoryUnavailableError

_SURELY_ALIVE_SECONDS = 1.0
"""A connection that was used this recently is not tested before use."""

_LIMIT = "statement_timeout_seconds"
"""The execution option that holds the longest time for a statement; 0 for no limit."""


def history_url(url: str | URL) -> URL:
    """Parse a database URL and set the driver.

    Args:
        url: ``postgresql://…``, ``postgres://…`` or ``postgresql+psycopg://…``.

    Returns:
        The same address with the psycopg 3 driver.

    Raises:
        ValueError: It is not a URL, names another database or driver, or has a parameter that
            libpq doesn't know. The message does not repeat the URL, which can hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(
            "the database URL cannot be read; write postgresql://user@host:5432/database"
        ) from None
    if parsed.drivername not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise ValueError(
            f"the database URL starts with {parsed.drivername}://; the history needs postgresql://"
        )
    parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        make_conninfo(**_address(parsed))
    except ArgumentError:
        raise ValueError("the database URL mixes several ways to name hosts and ports") from None
    except psycopg.ProgrammingError as error:
        raise ValueError(f"the database URL cannot be used: {str(error).strip()}") from None
    return parsed


def _address(url: URL) -> dict[str, Any]:
    """Return the parameters in a URL, decoded, as libpq names them."""
    _, parameters = url.get_dialect()().create_connect_args(url)
    return dict(parameters)


def _session_parameters(
    url: URL, application_name: str, connect_timeout_seconds: int = 5
) -> dict[str, Any]:
    """Return psycopg's parameters beside the address; those in the URL's query come first."""
    given = {
        "application_name": application_name,
        "connect_timeout": connect_timeout_seconds,
        # A failover can leave silent connections. Detect them in about a minute when idle, and in
        # half a minute after something was sent.
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    return {
        **{name: value for name, value in given.items() if name not in url.query},
        "client_encoding": "utf8",  # whatever the URL, the environment or the server says
        "prepare_threshold": None,  # never
    }


def create_history_engine(
    url: str | URL,
    *,
    application_name: str = "retinue",
    pool_size: int = 5,
    pool_timeout_seconds: float = 10.0,
    connect_timeout_seconds: int = 5,
    statement_timeout_seconds: float = 30.0,
    password: Callable[[], str] | None = None,
) -> Engine:
    """Create an engine that notices within seconds that the database is away.

    It connects on first use.

    Args:
        url: ``postgresql://…`` or ``postgresql+psycopg://…``; query parameters are libpq's.
        application_name: Shown in ``pg_stat_activity``.
        pool_size: Most connections, at least 1: one for each worker thread.
        pool_timeout_seconds: How long to wait for a free one before ``HistoryUnavailableError``.
        connect_timeout_seconds: How long to wait for a new connection; at least 2, says libpq.
        statement_timeout_seconds: Longest time for a statement, including waits for locks; 0 for no
            limit. If the URL's ``options`` set a limit, that one applies.
        password: Called for the password at each new connection, so that a rotated secret or a
            short-lived IAM token works without a restart. By default, the URL's own.

    Raises:
        ValueError: The URL names another database or driver.
    """
    parsed = history_url(url)
    engine = create_engine(
        parsed,
        connect_args=_session_parameters(parsed, application_name, connect_timeout_seconds),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout_seconds,
    )
    if "statement_timeout" not in str(parsed.query.get("options")):
        _limit_statements(engine, statement_timeout_seconds)
    event.listen(engine, "handle_error", _give_up_session)
    _notice_broken_connections(engine)
    if password is not None:
        ask = password

        @event.listens_for(engine, "do_connect")
        def _fill_in_password(
            dialect: object, record: object, args: object, parameters: dict[str, Any]
        ) -> None:
            del dialect, record, args
            parameters["password"] = ask()

    return engine


def without_statement_limit(engine: Engine) -> Engine:
    """Return the engine, with its pool, for statements that may take any time."""
    return engine.execution_options(**{_LIMIT: 0.0})


def _limit_statements(engine: Engine, seconds: float) -> None:
    """Set the longest time for a statement, in each session and again in each transaction.

    A startup parameter would save a round trip, but poolers refuse it.
    """

    @event.listens_for(engine, "connect")
    def _limit_session(connection: psycopg.Connection[Any], record: object) -> None:
        del record
        connection.autocommit = True
        connection.execute(_timeout("SET", seconds).encode())
        connection.autocommit = False

    @event.listens_for(engine, "begin")
    def _limit_transaction(connection: Connection) -> None:
        options = connection.get_execution_options()
        scope = "SET" if options.get("isolation_level") == "AUTOCOMMIT" else "SET LOCAL"
        connection.exec_driver_sql(_timeout(scope, options.get(_LIMIT, seconds)))


def _timeout(scope: str, seconds: float) -> str:
    return f"{scope} statement_timeout = {round(seconds * 1000)}"


def _give_up_session(context: ExceptionContext) -> None:
    """Replace a session that can't do anything any more, such as one on a demoted server."""
    if isinstance(context.original_exception, psycopg.Error):
        context.is_disconnect |= is_session_unusable(context.original_exception)


def _notice_broken_connections(engine: Engine) -> None:
    """Test idle connections before use, and replace broken ones.

    SQLAlchemy's own pre-ping tests every time, which is a round trip for each commit. After one
    connection was found unusable, all that were last used before are replaced: a connection to a
    server that became read-only still answers.
    """
    broken_at = 0.0

    @event.listens_for(engine, "invalidate")
    def _distrust(connection: object, record: object, error: object) -> None:
        nonlocal broken_at
        del connection, record
        if not isinstance(error, DisconnectionError):  # ours, of one that is replaced
            broken_at = time.monotonic()

    @event.listens_for(engine, "checkin")
    def _remember(connection: object, record: Any) -> None:
        del connection
        record.info["used_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _try(connection: Any, record: Any, proxy: object) -> None:
        del proxy
        used_at = record.info.get("used_at")
        if used_at is None:
            return
        if used_at <= broken_at:
            raise DisconnectionError  # the pool opens another
        if used_at > time.monotonic() - _SURELY_ALIVE_SECONDS:
            return
        try:
            if not engine.dialect.do_ping(connection):
                raise DisconnectionError
        except psycopg.Error as error:
            raise DisconnectionError from error


@contextmanager
def opened(database: Engine | URL | str) -> Iterator[Engine]:
    """Open an engine for a ``with`` block, unless there is one already."""
    if isinstance(database, Engine):
        yield database
        return
    engine = create_history_engine(database, application_name="retinue migrate", pool_size=1)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def connected(database: Engine | URL | str) -> Iterator[Connection]:
    """Open a SQLAlchemy connection for a ``with`` block."""
    with opened(database) as engine, engine.connect() as connection:
        yield connection


def connect(
    url: str | URL, application_name: str, *, autocommit: bool = False
) -> psycopg.Connection[Any]:
    """Open a psycopg connection outside any pool.

    Args:
        url: The database; ``postgresql://…``.
        application_name: Shown in ``pg_stat_activity``.
        autocommit: Whether each statement is a transaction.

    Raises:
        HistoryUnavailableError: The database cannot be reached.
        ValueError: The URL is invalid.
    """
    parsed = history_url(url)
    try:
        return psycopg.connect(
            **{**_address(parsed), **_session_parameters(parsed, application_name)},
            autocommit=autocommit,
        )
    except psycopg.Error as error:
        raise HistoryUnavailableError(str(error).strip()) from error
