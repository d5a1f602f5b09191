"""One statement that is a transaction by itself: one trip to the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Engine


@contextmanager
def autocommit_connection(engine: Engine) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the engine's pool, in autocommit.

    The worker's hot statements go through psycopg itself: no trips to begin and to commit, and none
    of what SQLAlchemy does around a statement, which takes longer than psycopg does for it.

    Raises:
        psycopg.Error: The statement's; or no connection can be made.
        sqlalchemy.exc.TimeoutError: No connection became free.
    """
    pooled = engine.raw_connection()
    connection: psycopg.Connection[Any] = pooled.driver_connection  # type: ignore[assignment]
    try:
        connection.autocommit = True
        yield connection
        connection.autocommit = False
    except psycopg.Error as error:
        if connection.closed:
            pooled.invalidate(error)
        else:
            connection.autocommit = False
        raise
    except BaseException as error:  # Ctrl-C in the middle of a statement
        pooled.invalidate(error)
        raise
    finally:
        pooled.close()
