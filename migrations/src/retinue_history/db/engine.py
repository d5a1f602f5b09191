"""Connections to the history's database."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError

from retinue_history.db.errors import HistoryUnavailableError

_SURELY_ALIVE_SECONDS = 1.0
"""A connection that was used this recently is not tested before use."""


def history_url(url: str | URL) -> URL:
    """Parse a database URL and set the driver.

    Args:
        url: ``postgresql://…``, ``postgres://…`` or ``postgresql+psycopg://…``.

    Returns:
        The same address with the psycopg 3 driver.

    Raises:
        ValueError: It is not a URL, or names another database or driver. The message does not
            repeat the URL, which can hold a password.
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
    return parsed.set(drivername="postgresql+psycopg")


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
            limit. If the URL sets ``options`` itself, the server's setting applies.
        password: Called for the password at each new connection, so that a rotated secret or a
            short-lived IAM token works without a restart. By default, the URL's own.

    Raises:
        ValueError: The URL names another database or driver.
    """
    parsed = history_url(url)
    connect_args: dict[str, Any] = {
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
    if "options" not in parsed.query:
        connect_args["options"] = f"-c statement_timeout={round(statement_timeout_seconds * 1000)}"
    engine = create_engine(
        parsed,
        connect_args={k: v for k, v in connect_args.items() if k not in parsed.query},
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout_seconds,
    )
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


def _notice_broken_connections(engine: Engine) -> None:
    """Test idle connections before use, and replace broken ones.

    SQLAlchemy's own pre-ping tests every time, which is a round trip for each commit. After one
    connection was found broken, all that were last used before are tested.
    """
    broken_at = 0.0

    @event.listens_for(engine, "invalidate")
    def _distrust(connection: object, record: object, error: object) -> None:
        nonlocal broken_at
        del connection, record, error
        broken_at = time.monotonic()

    @event.listens_for(engine, "checkin")
    def _remember(connection: object, record: Any) -> None:
        del connection
        record.info["used_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _try(connection: Any, record: Any, proxy: object) -> None:
        del proxy
        used_at = record.info.get("used_at")
        if used_at is None or used_at > max(broken_at, time.monotonic() - _SURELY_ALIVE_SECONDS):
            return
        try:
            if not engine.dialect.do_ping(connection):
                raise DisconnectionError
        except psycopg.Error as error:
            raise DisconnectionError from error  # the pool tries another, or a new one


@contextmanager
def connected(database: Engine | URL | str) -> Iterator[Connection]:
    """Open a SQLAlchemy connection for a ``with`` block."""
    if isinstance(database, Engine):
        with database.connect() as connection:
            yield connection
        return
    engine = create_history_engine(database, application_name="retinue migrate", pool_size=1)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


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
    address = history_url(url).set(drivername="postgresql")
    try:
        return psycopg.connect(
            address.render_as_string(hide_password=False),
            application_name=application_name,
            connect_timeout=5,
            autocommit=autocommit,
        )
    except psycopg.Error as error:
        raise HistoryUnavailableError(str(error).strip()) from error
