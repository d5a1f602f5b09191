"""Use SQLAlchemy for migrations, erasures and maintenance. Workers don't import it.

Importing it takes 14 MB and a tenth of a second.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from retinue_history.db import connections
from retinue_history.db.error_mapping import explain, is_session_unusable, map_errors
from retinue_history.db.errors import HistoryError, HistoryUnavailableError

_LIMIT = "statement_timeout_seconds"
"""The execution option with the time limit of a statement; 0 for no limit."""


def create_history_engine(
    url: str,
    *,
    application_name: str = "retinue",
    pool_size: int = 5,
    pool_timeout_seconds: float = 10.0,
    statement_timeout_seconds: float = 30.0,
) -> Engine:
    """Create an engine that notices an unavailable database within seconds.

    It connects on first use.

    Args:
        url: ``postgresql://…`` or ``postgresql+psycopg://…``; query parameters are libpq's.
        application_name: Shown in ``pg_stat_activity``.
        pool_size: Maximum number of connections, at least 1.
        pool_timeout_seconds: How long to wait for a free one before ``HistoryUnavailableError``.
        statement_timeout_seconds: Time limit of a statement, including waits for locks; 0 for no
            limit. If the URL's ``options`` set a limit, that one applies.

    Raises:
        ValueError: The URL names another database or driver.
    """
    is_limited_by_url = connections.limits_statements(url)
    engine = create_engine(
        "postgresql+psycopg://",
        creator=partial(
            connections.connect,
            url,
            application_name,
            statement_timeout_seconds=statement_timeout_seconds,
        ),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout_seconds,
        pool_pre_ping=True,
    )
    if not is_limited_by_url:
        _limit_transactions(engine, statement_timeout_seconds)
    event.listen(engine, "handle_error", _give_up_session)
    return engine


def without_statement_limit(engine: Engine) -> Engine:
    """Return the engine, with its pool, for statements without a time limit."""
    return engine.execution_options(**{_LIMIT: 0.0})


def _limit_transactions(engine: Engine, seconds: float) -> None:
    """Set the time limit of statements in each transaction, because its session may differ."""

    @event.listens_for(engine, "begin")
    def _limit(connection: Connection) -> None:
        options = connection.get_execution_options()
        connection.exec_driver_sql(
            connections.timeout_statement(
                "SET" if options.get("isolation_level") == "AUTOCOMMIT" else "SET LOCAL",
                options.get(_LIMIT, seconds),
            )
        )


def _give_up_session(context: ExceptionContext) -> None:
    """Replace a session that is unusable, such as one on a demoted server."""
    if isinstance(context.original_exception, psycopg.Error):
        context.is_disconnect |= is_session_unusable(context.original_exception)


@contextmanager
def opened(database: Engine | str) -> Iterator[Engine]:
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
def connected(database: Engine | str) -> Iterator[Connection]:
    """Open a SQLAlchemy connection for a ``with`` block."""
    with opened(database) as engine, engine.connect() as connection:
        yield connection


def driver_connection(connection: Connection) -> connections.Connection:
    """Return the psycopg connection, whose statements join the transaction."""
    return cast("connections.Connection", connection.connection.driver_connection)


@contextmanager
def map_engine_errors() -> Iterator[None]:
    """Turn errors of SQLAlchemy and psycopg in a ``with`` block into ``HistoryError``."""
    with map_errors():
        try:
            yield
        except PoolTimeoutError as error:
            raise HistoryUnavailableError(f"no database connection became free: {error}") from error
        except DBAPIError as error:
            raise explain(error.orig) from error
        except SQLAlchemyError as error:
            raise HistoryError(str(error)) from error
