"""A history to ask, as a login that can only read."""

from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest
from retinue_history import ConnectionPool, History
from retinue_history.db.connections import Connection
from sqlalchemy import make_url


@pytest.fixture
def record(history_url: str) -> Iterator[Callable[..., None]]:
    """Records images and runs into a fresh history."""
    with closing(ConnectionPool(history_url, application_name="test")) as pool:
        yield History(pool).record


@pytest.fixture
def reader(history_url: str) -> Iterator[Connection]:
    """A connection to that history, of a login that can only read."""
    url = make_url(history_url).set(username="retinue_reader", drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        yield connection
