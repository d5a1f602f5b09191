"""Choose a command's database: the one in the settings, or the laptop's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from retinue_history import HistoryError, check_schema
from retinue_history.analysis.query import check_reader
from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

# SQLAlchemy and the client of AWS take a quarter of a second each to import, and the embedded
# database needs neither.

READER = "retinue_reader"
"""The read-only role for analysts, which the migrations create."""

LONG_SECONDS = 600.0
"""Time limit of an owner's statement. A person may be in a million detections."""


def is_unconfigured(settings: Settings) -> bool:
    """Return whether neither a queue nor a database is set.

    Commands then use the history under .retinue, and its files instead of a bucket.
    """
    return settings.queue_url is None and is_of_laptop(settings)


def is_of_laptop(settings: Settings) -> bool:
    """Return whether no database is set, so that the history is the one under .retinue."""
    return settings.database_url is None and settings.query_database_url is None


@contextmanager
def owner_url(settings: Settings) -> Iterator[str]:
    """Return the owner's URL. The embedded server runs inside the block.

    Raises:
        ConfigurationError: No database is set, and the laptop has none.
    """
    if settings.database_url is not None:
        from retinue_workers.recording.db_auth import signed_in

        yield signed_in(settings, settings.database_url.get_secret_value())
        return
    with laptop_url("postgres") as url:
        yield url


@contextmanager
def owner_engine(settings: Settings, name: str) -> Iterator["Engine"]:
    """Open the history as its owner, for statements that may take long.

    Args:
        settings: The settings.
        name: The connection's name in the server.

    Raises:
        ConfigurationError: No database is set, and the laptop has none.
        HistoryError: It is unavailable, or not migrated.
    """
    from retinue_history.db.engine import create_history_engine

    with owner_url(settings) as url:
        check_schema(url)
        engine = create_history_engine(
            url, application_name=name, pool_size=2, statement_timeout_seconds=LONG_SECONDS
        )
        try:
            yield engine
        finally:
            engine.dispose()


@contextmanager
def reader_url(settings: Settings) -> Iterator[str]:
    """Return the URL for reading. The embedded server runs inside the block.

    If only the worker's URL is set, ``retinue_reader`` connects to the same server. ``SET ROLE``
    after another login isn't enough, because the query can undo it.

    Raises:
        ConfigurationError: No database is set, and the laptop has none. Or only the worker's is
            set, and its server accepts that login, but not ``retinue_reader`` without a password.
        HistoryUnavailableError: The server of the worker's URL can't be reached, or refuses it.
    """
    if settings.query_database_url is not None:
        from retinue_workers.recording.db_auth import signed_in

        yield signed_in(settings, settings.query_database_url.get_secret_value())
        return
    if settings.database_url is not None:
        yield _as_reader(settings, settings.database_url.get_secret_value())
        return
    with laptop_url(READER) as url:
        yield url


def _as_reader(settings: Settings, url: str) -> str:
    """Return the URL of the same database for ``retinue_reader``, if the server accepts it."""
    from sqlalchemy import URL, make_url
    from sqlalchemy.exc import ArgumentError

    try:
        owner = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "RETINUE_DATABASE_URL cannot be read; write postgresql://user@host:5432/database"
        ) from None
    hidden = {"user", "password", "options"}  # libpq reads these, too
    query = {name: value for name, value in owner.query.items() if name not in hidden}
    address = URL.create(
        owner.drivername, READER, None, owner.host, owner.port, owner.database, query
    )
    reader = address.render_as_string(hide_password=False)
    try:
        check_reader(reader)
    except (HistoryError, ValueError) as error:
        from retinue_history.db.connections import connect
        from retinue_workers.recording.db_auth import signed_in

        # If the owner isn't accepted either, the reader's login isn't the cause.
        connect(signed_in(settings, url), "retinue query").close()
        raise ConfigurationError(
            f"RETINUE_QUERY_DATABASE_URL is not set, and {READER} cannot be used on the server of "
            f"RETINUE_DATABASE_URL: {error}\nGive RETINUE_QUERY_DATABASE_URL the URL of a login "
            f"that may only read (GRANT {READER} TO …)"
        ) from error
    return reader


@contextmanager
def laptop_url(user: str) -> Iterator[str]:
    """Yield the URL of the laptop's database, which runs at least as long as the block.

    Raises:
        ConfigurationError: There is none.
    """
    try:
        from retinue_cli.local.postgres import EmbeddedPostgres
        from retinue_cli.local.state import State
    except ImportError as error:  # a slim installation, as in the container
        raise ConfigurationError(
            "RETINUE_DATABASE_URL is not set: give the PostgreSQL URL of the history"
        ) from error
    state = State.find()
    if not (state.postgres / "data").exists():
        raise ConfigurationError(
            f"there is no history under {state.directory}: create one with `retinue run`, or "
            "set RETINUE_DATABASE_URL"
        )
    with EmbeddedPostgres(state) as postgres:
        yield postgres.url(user=user)
