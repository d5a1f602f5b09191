"""SQLAlchemy on the history's database: for migrations, erasures and maintenance, not for workers.

Importing it takes 14 MB and a tenth of a second.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from retinue_history.db import connections
from retinue_history.db.error_mapping import explain, map_errors
from retinue_history.db.errors import HistoryError, HistoryUnavailableError


def create_history_engine(
    url: str,
    *,
    application_name: str = "retinue",
    pool_size: int = 5,
    pool_timeout_seconds: float = 10.0,
    statement_timeout_seconds: float = 30.0,
) -> Engine:
    """Create an engine that notices within seconds that the database is away.

    It connects on first use.

    Args:
        url: ``postgresql://…`` or ``postgresql+psycopg://…``; query parameters are libpq's.
        application_name: Shown in ``pg_stat_activity``.
        pool_size: Most connections, at least 1.
        pool_timeout_seconds: How long to wait for a free one before ``HistoryUnavailableError``.
        statement_timeout_seconds: Longest time for a statement, including waits for locks; 0 for no
            limit. If the URL sets ``options`` itself, the server's setting applies.

    Raises:
        ValueError: The URL names another database or driver.
    """
    connections.connection_parameters(url)
    return create_engine(
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


@contextmanager
def connected(database: Engine | str) -> Iterator[Connection]:
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
