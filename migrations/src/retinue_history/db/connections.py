"""psycopg connections to the history's database: single ones, and a pool."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from retinue_history.db.errors import HistoryUnavailableError

Connection: TypeAlias = psycopg.Connection[Any]

CONNECT_SECONDS = 5
"""How long to wait for a new connection; at least 2, says libpq."""

_SURELY_ALIVE_SECONDS = 1.0
"""A connection that was used this recently is not tested before use."""

_DEFAULTS = {
    "connect_timeout": CONNECT_SECONDS,
    # A failover can leave silent connections. Detect them in about a minute when idle, and in half
    # a minute after something was sent.
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def connection_parameters(url: str) -> dict[str, Any]:
    """Return libpq's connection parameters that a database URL sets.

    Args:
        url: ``postgresql://…``, ``postgres://…`` or ``postgresql+psycopg://…``; query parameters
            are libpq's.

    Raises:
        ValueError: It is not a URL, or names another database or driver. The message does not
            repeat the URL, which can hold a password.
    """
    scheme, separator, rest = url.partition("://")
    if scheme in {"postgresql", "postgres", "postgresql+psycopg"} and separator:
        with suppress(psycopg.ProgrammingError):
            return conninfo_to_dict(f"postgresql://{rest}")
    elif separator:
        raise ValueError(
            f"the database URL starts with {scheme}://; the history needs postgresql://"
        )
    raise ValueError("the database URL cannot be read; write postgresql://user@host:5432/database")


def connect(
    url: str,
    application_name: str,
    *,
    autocommit: bool = False,
    statement_timeout_seconds: float | None = None,
    password: str | None = None,
) -> Connection:
    """Open a connection. What the URL sets itself goes before the arguments.

    Args:
        url: The database; ``postgresql://…``.
        application_name: Shown in ``pg_stat_activity``.
        autocommit: Whether each statement is a transaction.
        statement_timeout_seconds: Longest time for a statement, including waits for locks; 0 for no
            limit, ``None`` for the server's setting.
        password: The password; by default the URL's own.

    Raises:
        HistoryUnavailableError: The database cannot be reached.
        ValueError: The URL is invalid.
    """
    parameters: dict[str, Any] = {**_DEFAULTS, "application_name": application_name}
    if statement_timeout_seconds is not None:
        milliseconds = round(statement_timeout_seconds * 1000)
        parameters["options"] = f"-c statement_timeout={milliseconds}"
    parameters |= connection_parameters(url)
    if password is not None:
        parameters["password"] = password
    try:
        return psycopg.connect(**parameters, autocommit=autocommit)
    except psycopg.Error as error:
        raise HistoryUnavailableError(str(error).strip()) from error


class ConnectionPool:
    """Connections in autocommit mode that threads share. They are opened when they are needed.

    An idle connection is tested before use. One that was used in the last second is not, since that
    would be a round trip for each commit. After one was found broken, all that were last used
    before are tested.

    psycopg_pool isn't used: while the database is away, it waits until its timeout and then hides
    the server's reason, and its four threads take 3 MB.

    Args:
        url: ``postgresql://…`` or ``postgresql+psycopg://…``; query parameters are libpq's.
        application_name: Shown in ``pg_stat_activity``.
        max_size: Most connections, at least 1.
        timeout_seconds: How long to wait for a free one.
        statement_timeout_seconds: Longest time for a statement, including waits for locks; 0 for no
            limit. If the URL sets ``options`` itself, the server's setting applies.
        password: Called for the password at each new connection, so that a rotated secret or a
            short-lived IAM token works without a restart. By default, the URL's own.

    Raises:
        ValueError: The URL names another database or driver.
    """

    def __init__(
        self,
        url: str,
        *,
        application_name: str = "retinue",
        max_size: int = 5,
        timeout_seconds: float = 10.0,
        statement_timeout_seconds: float = 30.0,
        password: Callable[[], str] | None = None,
    ) -> None:
        connection_parameters(url)
        self._url = url
        self._application_name = application_name
        self._timeout_seconds = timeout_seconds
        self._statement_timeout_seconds = statement_timeout_seconds
        self._password = password
        self._places = threading.BoundedSemaphore(max_size)
        self._lock = threading.Lock()
        self._idle: list[tuple[float, Connection]] = []  # when it was last used
        self._broken_at = 0.0

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection, in which each statement is a transaction.

        Raises:
            HistoryUnavailableError: No connection became free, or the database can't be reached.
        """
        if not self._places.acquire(timeout=self._timeout_seconds):
            raise HistoryUnavailableError(
                f"no database connection became free in {self._timeout_seconds:g} s"
            )
        try:
            connection = self._take() or self._open()
            try:
                yield connection
            finally:
                self._put_back(connection)
        finally:
            self._places.release()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Lend a connection in a transaction, which is committed at the end of the block.

        Raises:
            HistoryUnavailableError: No connection became free, or the database can't be reached.
        """
        with self.connection() as connection, connection.transaction():
            yield connection

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _take(self) -> Connection | None:
        """Return the idle connection that was used last and still works."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                used_at, connection = self._idle.pop()
            if used_at > max(self._broken_at, time.monotonic() - _SURELY_ALIVE_SECONDS):
                return connection
            try:
                connection.execute("SELECT 1")
            except psycopg.Error:
                self._discard(connection)
            else:
                return connection

    def _open(self) -> Connection:
        return connect(
            self._url,
            self._application_name,
            autocommit=True,
            statement_timeout_seconds=self._statement_timeout_seconds,
            password=None if self._password is None else self._password(),
        )

    def _put_back(self, connection: Connection) -> None:
        # After Ctrl-C in the middle of a statement it is not idle.
        if connection.info.transaction_status is TransactionStatus.IDLE:
            with self._lock:
                self._idle.append((time.monotonic(), connection))
        else:
            self._discard(connection)

    def _discard(self, connection: Connection) -> None:
        connection.close()
        self._broken_at = time.monotonic()
