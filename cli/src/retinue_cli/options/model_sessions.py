"""The leases and sessions of hosted models, for the commands that start, stop and promote them."""

from collections.abc import Iterator
from contextlib import contextmanager

from retinue_history import ConnectionPool, ModelSessions
from retinue_workers.recording.db_auth import password_source
from retinue_workers.settings.settings import Settings


@contextmanager
def open_model_sessions(settings: Settings) -> Iterator[ModelSessions]:
    """Open the leases and sessions in the history that the settings name."""
    url = settings.require_database_url()
    pool = ConnectionPool(
        url, application_name="retinue models", password=password_source(settings, url)
    )
    try:
        yield ModelSessions(pool)
    finally:
        pool.close()
