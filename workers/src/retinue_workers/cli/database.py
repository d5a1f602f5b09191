"""Which database a command means: the one that the settings name, or the laptop's own."""

from collections.abc import Iterator
from contextlib import contextmanager

from retinue_sdk import ConfigurationError

from retinue_workers.settings import Settings

READER = "retinue_reader"
"""The role that the migrations make for analysts: it may read, and nothing else."""


@contextmanager
def owner_url(settings: Settings) -> Iterator[str]:
    """The URL of the database's owner; the embedded server runs while it is in use.

    Raises:
        ConfigurationError: No database is set and there is none on this laptop.
    """
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    with _embedded("postgres") as url:
        yield url


@contextmanager
def reader_url(settings: Settings) -> Iterator[str]:
    """The URL for reading; the embedded server runs while it is in use.

    Raises:
        ConfigurationError: No database is set and there is none on this laptop.
    """
    configured = settings.query_database_url or settings.database_url
    if configured is not None:
        yield configured.get_secret_value()
        return
    with _embedded(READER) as url:
        yield url


@contextmanager
def _embedded(user: str) -> Iterator[str]:
    """The laptop's database, started if it is not running, stopped if nobody else uses it."""
    try:
        from retinue_workers.laptop.postgres import EmbeddedPostgres
        from retinue_workers.laptop.state import State
    except ImportError as error:  # a slim installation, as in the container
        raise ConfigurationError(
            "RETINUE_DATABASE_URL is not set: give the PostgreSQL URL of the history"
        ) from error
    state = State.find()
    if not (state.postgres / "data").exists():
        raise ConfigurationError(
            f"there is no history under {state.directory}: make one with `make run`, or set "
            "RETINUE_DATABASE_URL"
        )
    with EmbeddedPostgres(state) as postgres:
        yield postgres.url(user=user)
