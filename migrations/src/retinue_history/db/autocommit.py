"""Connections in autocommit mode: each statement is a transaction, in one round trip."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Engine

from retinue_history.db.error_mapping import is_session_unusable


@contextmanager
def autocommit_connection(engine: Engine) -> Iterator[psycopg.Connection[Any]]:
    """Take a psycopg connection from the engine's pool, in autocommit mode.

    The worker's hot statements bypass SQLAlchemy, whose work around a statement costs more than
    psycopg's own, and save the round trips to begin and to commit. Behind a pooler, each of them
    can run in another session, perhaps one that doesn't have the engine's time limit.

    Raises:
        psycopg.Error: The statement failed, or the database can't be reached.
        sqlalchemy.exc.TimeoutError: No connection became free.
    """
    pooled = engine.raw_connection()
    connection: psycopg.Connection[Any] = pooled.driver_connection  # type: ignore[assignment]
    try:
        connection.autocommit = True
        yield connection
        connection.autocommit = False
    except psycopg.Error as error:
        if connection.closed or is_session_unusable(error):
            pooled.invalidate(error)
        else:
            connection.autocommit = False
        raise
    except BaseException as error:  # Ctrl-C in the middle of a statement
        pooled.invalidate(error)
        raise
    finally:
        pooled.close()
