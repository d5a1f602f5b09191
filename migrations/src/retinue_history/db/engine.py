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
"""A connection that worked this short a time ago is used without asking whether it still does."""


def history_url(url: str | URL) -> URL:
    """Parse a database URL and settle on the driver.

    Args:
        url: ``postgresql://…``, ``postgres://…`` or ``postgresql+psycopg://…``.

    Returns:
        The same address with the psycopg 3 driver.

    Raises:
        ValueError: It is no URL, or names another database or driver. The message does not repeat
            the URL, which may hold a password.
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
    """Make an engine that notices a database away within seconds.

    Connects on first use, not now.

    Args:
        url: ``postgresql://…`` or ``postgresql+psycopg://…``; query parameters are libpq's.
        application_name: Shown in ``pg_stat_activity``.
        pool_size: Most connections at once; at least 1. Give each worker thread one.
        pool_timeout_seconds: How long to wait for a free one before ``HistoryUnavailableError``.
        connect_timeout_seconds: How long to wait for a new connection; at least 2, says libpq.
        statement_timeout_seconds: Longest a statement may take, waiting for locks included; 0 for
            no limit. Left to the server where the URL sets ``options`` itself.
        password: Asked for the password at each new connection, so that a rotated secret or a
            short-lived IAM token works without a restart. The URL's own is used if not given.

    Raises:
        ValueError: The URL names another database or driver.
    """
    parsed = history_url(url)
    connect_args: dict[str, Any] = {
        "application_name": application_name,
        "connect_timeout": connect_timeout_seconds,
        # A failed-over database leaves connections that say nothing: find out in about a minute
        # when idle, and in half a minute when something was sent.
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
    """Try connections that lay idle before they are used, and replace those that are broken.

    SQLAlchemy's own pre-ping asks every time, which is a trip to the database for each commit. Once
    one was found to be broken, those that were used before are tried however short ago that was.
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
    """A connection of SQLAlchemy's for the length of a ``with`` block."""
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
    """A connection of its own, for whoever reads beside the worker.

    Args:
        url: The database; ``postgresql://…``.
        application_name: What the server lists it under.
        autocommit: Whether each statement is a transaction.

    Raises:
        HistoryUnavailableError: The database cannot be reached.
        ValueError: The URL makes no sense.
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
