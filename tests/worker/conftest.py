"""The worker's parts on stand-ins that fail on demand."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from fakes import plugin
from fakes.history import MemoryHistory
from fakes.queue import MemoryQueue
from fakes.rig import Rig
from fakes.waiting import eventually, worker_threads
from psycopg import sql
from retinue_history import ConnectionPool, History, Jobs
from retinue_history.schema.tables import metadata
from retinue_sdk import Run
from sqlalchemy import make_url
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backoff that a test need not wait for."""
    monkeypatch.setattr("retinue_workers.limits.backoff.BASE_SECONDS", 0.02)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Yield a worker that has stopped leaves no thread behind."""
    before = worker_threads()
    yield
    eventually(lambda: len(worker_threads()) <= len(before), what="threads of the worker to end")


@pytest.fixture
def observed() -> Iterator[list[Run]]:
    """Return the runs that observers received."""
    yield from plugin.observing()


@pytest.fixture(scope="session")
def database_url(postgres_server: str, history_template: str) -> Iterator[str]:
    """Yield the URL of one migrated database for all tests here: creating one takes long."""
    create = sql.SQL("CREATE DATABASE worker_tests TEMPLATE {}")
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(create.format(sql.Identifier(history_template)))
        url = make_url(postgres_server).set(database="worker_tests")
        yield url.render_as_string(hide_password=False)
        connection.execute("DROP DATABASE worker_tests WITH (FORCE)")


@pytest.fixture(scope="session")
def database(database_url: str) -> Iterator[History]:
    """Yield the real history, with whatever is in it."""
    pool = ConnectionPool(database_url)
    yield History(pool)
    pool.close()


@pytest.fixture
def history(database: History, database_url: str) -> History:
    """Return the real history, empty."""
    with psycopg.connect(database_url) as connection:
        for table in reversed(metadata.sorted_tables):
            if table.name in {"erasure_salt", "record_locks"}:
                continue  # part of the schema: made once for a database
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))
    return database


@pytest.fixture
def rig(history: History, database_url: str) -> Rig:
    """Return a worker's surroundings with a real database."""
    return Rig(history, url=database_url, jobs=Jobs(history._pool))


@pytest.fixture
def make_rig(history: History, database_url: str) -> Callable[..., Rig]:
    """Makes one with a queue, or a history, of the test's own."""

    def make(queue: MemoryQueue | None = None, over: History | None = None) -> Rig:
        return Rig(over or history, queue, database_url)

    return make


@pytest.fixture
def memory_rig() -> Rig:
    """Return a worker's surroundings without a database."""
    return Rig(MemoryHistory())


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """Yield the log's entries of all threads. Rendering tracebacks would take longer."""
    with capture_logs() as entries:
        yield entries
