"""psycopg connections to the history's database: single ones, and a pool.

A pooler may be in between. It may give each transaction of a connection another session, and may
refuse startup parameters. So this package uses no prepared statements, and no locks or tables that
outlive a transaction.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from retinue_history.db.error_mapping import is_session_unusable, map_errors
from retinue_history.db.errors import HistoryUnavailableError

Connection: TypeAlias = psycopg.Connection[Any]

T = TypeVar("T")

CONNECT_SECONDS = 5
"""How long to wait for a new connection, and for an answer that takes a server no time. libpq
requires at least 2."""

ANSWER_SECONDS = 5.0
"""How much longer to wait for an answer than the server may work on it."""

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
_ALWAYS = {
    "client_encoding": "utf8",  # regardless of the URL, the environment and the server
    "prepare_threshold": None,  # never
}
_STYLES = {"DateStyle": "ISO", "IntervalStyle": "postgres"}
"""The only styles of times that psycopg reads. The server reports which it uses."""


def connection_parameters(url: str) -> dict[str, Any]:
    """Return libpq's connection parameters that a database URL sets.

    Args:
        url: ``postgresql://…``, ``postgres://…`` or ``postgresql+psycopg://…``; query parameters
            are libpq's.

    Raises:
        ValueError: It is not a URL, names another database or driver, or has a parameter that libpq
            doesn't know. The message does not repeat the URL, which can hold a password.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise ValueError(
            f"the database URL starts with {scheme}://; the history needs postgresql://"
        )
    unreadable = "the database URL cannot be read; write postgresql://user@host:5432/database"
    if not separator:
        raise ValueError(unreadable)
    try:
        # libpq refuses a space, which SQLAlchemy leaves as it is when it writes a URL.
        parameters = conninfo_to_dict(f"postgresql://{rest.replace(' ', '%20')}")
    except psycopg.ProgrammingError as error:
        complaint = str(error).strip()
        if complaint.startswith("invalid URI query parameter"):  # other messages repeat the URL
            raise ValueError(f"the database URL cannot be used: {complaint}") from None
        raise ValueError(unreadable) from None
    except UnicodeDecodeError:
        raise ValueError(unreadable) from None
    if not all(port.isdecimal() for port in str(parameters.get("port", "")).split(",") if port):
        raise ValueError(unreadable)
    return parameters


def limits_statements(url: str) -> bool:
    """Return whether a database URL's ``options`` limit the time for a statement."""
    return "statement_timeout" in str(connection_parameters(url).get("options"))


def timeout_statement(scope: Literal["SET", "SET LOCAL"], seconds: float) -> str:
    """Return the statement that limits the time for a statement; 0 for no limit."""
    return f"{scope} statement_timeout = {round(seconds * 1000)}"


def connect(
    url: str,
    application_name: str,
    *,
    autocommit: bool = False,
    statement_timeout_seconds: float | None = None,
    answer_timeout_seconds: float | None = None,
    password: str | None = None,
) -> "_LimitedConnection":
    """Open a connection. Parameters of the URL take precedence over the arguments.

    Args:
        url: The database; ``postgresql://…``.
        application_name: Shown in ``pg_stat_activity``.
        autocommit: Whether each statement is a transaction.
        statement_timeout_seconds: Time limit of a statement, including waits for locks; 0 for no
            limit, ``None`` for the server's setting. A startup parameter would save a round trip,
            but poolers refuse it.
        answer_timeout_seconds: Time limit for an answer, after which the connection is
            closed. A server that hangs enforces no limit of its own, and its system still
            acknowledges what is sent. ``None`` for no limit.
        password: The password; by default the URL's own.

    Raises:
        HistorySetupError: A pooler refuses one of the URL's parameters.
        HistoryUnavailableError: The database cannot be reached.
        ValueError: The URL is invalid.
    """
    parameters: dict[str, Any] = {**_DEFAULTS, "application_name": application_name}
    parameters |= connection_parameters(url) | _ALWAYS
    if password is not None:
        parameters["password"] = password
    with map_errors():
        connection = _LimitedConnection.connect(**parameters, autocommit=True)
        settings = [
            f"SET {name} = {style}"
            for name, style in _STYLES.items()
            if (connection.info.parameter_status(name) or style).split(",")[0] != style
        ]
        if statement_timeout_seconds is not None and not limits_statements(url):
            settings.append(timeout_statement("SET", statement_timeout_seconds))
        try:
            if settings:
                with _answering(connection, CONNECT_SECONDS):
                    connection.execute("; ".join(settings).encode())
            connection.autocommit = autocommit
        except BaseException:
            connection.close()
            raise
        connection.answer_seconds = answer_timeout_seconds
        return connection


class _LimitedConnection(psycopg.Connection[Any]):
    """A connection that is closed if the server doesn't answer.

    Attributes:
        answer_seconds: Time limit for an answer; ``None`` for no limit.
    """

    answer_seconds: float | None = None

    def wait(self, gen: PQGen[T], *args: Any, **options: Any) -> T:
        """Wait for an answer.

        Raises:
            OperationalError: The server doesn't answer.
        """
        if self.answer_seconds is not None:
            gen = self._limited(gen, time.monotonic() + self.answer_seconds)
        return super().wait(gen, *args, **options)

    def _limited(self, gen: PQGen[T], until: float) -> PQGen[T]:
        """Step through a generator of psycopg, which gets nothing if nothing happened."""
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() >= until:
                    self.close()
                    raise psycopg.OperationalError("the server doesn't answer")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # of the generator's type


@contextmanager
def _answering(connection: _LimitedConnection, seconds: float) -> Generator[None]:
    """Wait only this long for answers in the block."""
    before, connection.answer_seconds = connection.answer_seconds, seconds
    try:
        yield
    finally:
        connection.answer_seconds = before


class ConnectionPool:
    """Connections in autocommit mode that threads share. They are opened when needed.

    An idle connection is tested before use. One that was used in the last second is not, since that
    would be a round trip for each commit. After one was found unusable, all that were last used
    before are replaced: a connection to a server that became read-only still answers.

    psycopg_pool isn't used. While the database is unavailable, it waits until its timeout and then
    hides the server's reason, and its four threads take 3 MB.

    Args:
        url: ``postgresql://…`` or ``postgresql+psycopg://…``; query parameters are libpq's.
        application_name: Shown in ``pg_stat_activity``.
        max_size: Maximum number of connections, at least 1.
        timeout_seconds: How long to wait for a free one.
        statement_timeout_seconds: Time limit of a statement, including waits for locks; 0 for no
            limit. If the URL's ``options`` set a limit, that one applies.
        answer_timeout_seconds: As for ``connect``.
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
        answer_timeout_seconds: float | None = None,
        password: Callable[[], str] | None = None,
    ) -> None:
        self._limit = None if limits_statements(url) else statement_timeout_seconds
        self._url = url
        self._application_name = application_name
        self._timeout_seconds = timeout_seconds
        self._answer_timeout_seconds = answer_timeout_seconds
        self._password = password
        self._places = threading.BoundedSemaphore(max_size)
        self._lock = threading.Lock()
        self._idle: list[tuple[float, _LimitedConnection]] = []  # when it was last used
        self._broken_at = 0.0
        self._is_closed = False

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection, in which each statement is a transaction.

        Behind a pooler, each of them can run in another session, perhaps one that doesn't have the
        pool's time limit.

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
            except psycopg.Error as error:
                if connection.closed or is_session_unusable(error):
                    connection.close()
                    self._broken_at = time.monotonic()
                raise
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
            if self._limit is not None:
                connection.execute(timeout_statement("SET LOCAL", self._limit).encode())
            yield connection

    def close(self) -> None:
        """Close the idle connections, and those in use when they are put back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _take(self) -> _LimitedConnection | None:
        """Return the idle connection that was used last and still works."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                used_at, connection = self._idle.pop()
            if used_at <= self._broken_at:
                connection.close()
            elif used_at > time.monotonic() - _SURELY_ALIVE_SECONDS:
                return connection
            else:
                try:
                    with _answering(connection, CONNECT_SECONDS):
                        connection.execute("SELECT 1")
                except psycopg.Error:
                    connection.close()
                    self._broken_at = time.monotonic()
                else:
                    return connection

    def _open(self) -> _LimitedConnection:
        return connect(
            self._url,
            self._application_name,
            autocommit=True,
            statement_timeout_seconds=self._limit,
            answer_timeout_seconds=self._answer_timeout_seconds,
            password=None if self._password is None else self._password(),
        )

    def _put_back(self, connection: _LimitedConnection) -> None:
        # After Ctrl-C in the middle of a statement it isn't idle.
        is_usable = connection.info.transaction_status is TransactionStatus.IDLE
        with self._lock:
            is_kept = is_usable and not self._is_closed
            if is_kept:
                self._idle.append((time.monotonic(), connection))
        if not is_kept:
            connection.close()
