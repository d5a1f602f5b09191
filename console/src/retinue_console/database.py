"""The history, read with a login that can only read, and reviews, written with another."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager

import psycopg
from retinue_history import HistoryError
from retinue_history.analysis.query import QueryResult, check_reader, run_query
from retinue_history.db.connections import ANSWER_SECONDS, Connection, ConnectionPool
from retinue_history.db.error_mapping import is_timeout, map_errors
from retinue_history.review.login import check_reviewer
from retinue_workers.settings.settings import Settings

from retinue_console.settings import ConsoleSettings

STATEMENT_SECONDS = 10.0
"""Time limit of a page's statements."""

QUERY_SECONDS = 30.0
"""Time limit of a person's own statement."""

CONNECTIONS = 8
"""Maximum number of connections. A page takes one for as long as it reads."""

REVIEW_CONNECTIONS = 4
"""Maximum number of connections that write reviews."""


class NoReviewsError(HistoryError):
    """No login is set that can write reviews."""


class SlowQueryError(HistoryError):
    """A statement took longer than ``STATEMENT_SECONDS``."""


class _Login:
    """A login and its connections.

    Args:
        url: The database, with the login.
        connections: Maximum number of connections.
        password: Called for the password at each new connection; by default, the URL's own.
        check: Raises if the login can do too much or too little.
    """

    def __init__(
        self,
        url: str,
        connections: int,
        password: Callable[[], str] | None,
        check: Callable[[str, str | None], None],
    ) -> None:
        self.url = url
        self._password = password
        self._check = check
        self._is_checked = False
        self._pool = ConnectionPool(
            url,
            application_name="retinue console",
            max_size=connections,
            statement_timeout_seconds=STATEMENT_SECONDS,
            answer_timeout_seconds=STATEMENT_SECONDS + ANSWER_SECONDS,
            password=password,
        )

    def password(self) -> str | None:
        """Return a password for the next connection; ``None`` for the URL's own."""
        return None if self._password is None else self._password()

    def check(self) -> None:
        """Check the login, once."""
        if not self._is_checked:
            self._check(self.url, self.password())
            self._is_checked = True

    def transaction(self) -> AbstractContextManager[Connection]:
        """Lend a connection in a transaction."""
        return self._pool.transaction()

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()


class Database:
    """The history, as pages read it.

    Args:
        url: The database.
        password: Called for the password at each new connection; by default, the URL's own.
    """

    def __init__(self, url: str, *, password: Callable[[], str] | None = None) -> None:
        self._login = _Login(url, CONNECTIONS, password, check_reader)

    def check(self) -> None:
        """Check once that the login can only read.

        Raises:
            HistoryUnavailableError: The database is down.
            QueryError: The login has more rights than reading; the message names them.
        """
        self._login.check()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Lend a connection in a transaction.

        Raises:
            HistoryUnavailableError: The database is down.
            HistoryDataError: A parameter can't be a value in Postgres, such as a NUL character.
            SlowQueryError: A statement took too long.
        """
        self.check()
        with map_errors():
            try:
                with self._login.transaction() as connection:
                    yield connection
            except (psycopg.Error, HistoryError) as error:
                if not is_timeout(error):
                    raise
                raise SlowQueryError(
                    f"the database took longer than {STATEMENT_SECONDS:g} s"
                ) from error

    def query(self, sql: str) -> QueryResult:
        """Run a person's own statement, on a connection of its own.

        Raises:
            HistoryUnavailableError: The database is down.
            QueryError: The statement was refused; the message has the reason.
        """
        return run_query(
            self._login.url, sql, timeout_seconds=QUERY_SECONDS, password=self._login.password()
        )

    def close(self) -> None:
        """Close the idle connections."""
        self._login.close()


class Reviews:
    """The store of reviews: read by the login of pages, written by one that can do nothing else.

    Args:
        database: The history, as pages read it.
        url: The database, for a login that is ``retinue_reviewer`` or a member of it; ``None`` if
            none is set.
        password: Called for the password at each new connection; by default, the URL's own.
    """

    def __init__(
        self, database: Database, url: str | None, *, password: Callable[[], str] | None = None
    ) -> None:
        self._database = database
        self._login = (
            None if url is None else _Login(url, REVIEW_CONNECTIONS, password, check_reviewer)
        )

    @property
    def is_set(self) -> bool:
        """Return whether there is a login that can write reviews."""
        return self._login is not None

    def check(self) -> None:
        """Check once that the login, if set, can only save reviews.

        Raises:
            HistoryUnavailableError: The database is down.
            QueryError: The login can't save reviews, or has more rights; the message names them.
        """
        if self._login is not None:
            self._login.check()

    @contextmanager
    def connections(self) -> Iterator[tuple[Connection, Connection]]:
        """Lend a reader's connection, and a reviewer's in a transaction that ends with the block.

        Raises:
            NoReviewsError: No login is set that can write reviews.
            HistoryUnavailableError: The database is down.
            QueryError: The login can't save reviews, or can do more.
            HistoryDataError: The store refuses the answer; the message has the reason.
            SlowQueryError: A statement took too long.
        """
        if self._login is None:
            raise NoReviewsError(
                "Reviewing isn't set up. Set RETINUE_CONSOLE_REVIEW_DATABASE_URL to a login that "
                "is a member of retinue_reviewer, and restart the console."
            )
        self.check()
        with self._database.read() as reader, map_errors(), self._login.transaction() as reviewer:
            yield reader, reviewer

    def close(self) -> None:
        """Close the idle connections."""
        if self._login is not None:
            self._login.close()


@contextmanager
def open_reviews(
    database: Database, settings: Settings, console_settings: ConsoleSettings
) -> Iterator[Reviews]:
    """Open the store of reviews that the settings name, or the laptop's, inside the block."""
    from retinue_cli.options.database import is_of_laptop, laptop_url

    with ExitStack() as stack:
        if console_settings.review_database_url is not None:
            from retinue_workers.recording.db_auth import password_source

            url = console_settings.review_database_url.get_secret_value()
            reviews = Reviews(database, url, password=password_source(settings, url))
        elif is_of_laptop(settings):
            reviews = Reviews(database, stack.enter_context(laptop_url("retinue_reviewer")))
        else:
            reviews = Reviews(database, None)
        stack.enter_context(closing(reviews))
        yield reviews


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """Open the database that the settings name, or the laptop's, inside the block.

    Raises:
        ConfigurationError: No database is set and there is none on this laptop.
    """
    from retinue_cli.options.database import reader_url

    with ExitStack() as stack:
        if settings.query_database_url is None:
            database = Database(stack.enter_context(reader_url(settings)))
        else:
            from retinue_workers.recording.db_auth import password_source

            url = settings.query_database_url.get_secret_value()
            database = Database(url, password=password_source(settings, url))
        stack.enter_context(closing(database))
        yield database
