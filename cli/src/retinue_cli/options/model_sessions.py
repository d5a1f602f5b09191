"""Open leases and sessions of hosted models, for commands that start, stop and promote."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from retinue_history import ConnectionPool, ModelSessions
from retinue_workers.recording.db_auth import password_source
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import owner_url


@contextmanager
def open_model_sessions(settings: Settings) -> Iterator[ModelSessions]:
    """Open the leases and sessions in the settings' history, or in this machine's."""
    with ExitStack() as stack:
        password = None
        if settings.database_url is not None:
            # The pool authenticates for each connection, because a token lasts for 15 minutes.
            url = settings.require_database_url()
            password = password_source(settings, url)
        else:
            url = stack.enter_context(owner_url(settings))
        pool = ConnectionPool(url, application_name="retinue models", password=password)
        stack.callback(pool.close)
        yield ModelSessions(pool)
