"""The composition root: from settings to a worker with everything real."""

from collections.abc import Callable
from threading import Event

import structlog
from retinue_history import (
    History,
    HistorySchemaError,
    HistoryUnavailableError,
    ModelLedger,
    check_schema,
    create_history_engine,
)
from retinue_sdk import ConfigurationError
from retinue_sdk.plugins.manager import Plugins
from sqlalchemy import Engine

from retinue_workers.hosted_models.queue_depth import read_backlog
from retinue_workers.intake.clients import make_clients
from retinue_workers.intake.s3 import ObjectStore
from retinue_workers.intake.sqs import QueueUnavailableError, SqsQueue
from retinue_workers.limits.backoff import backoff_seconds
from retinue_workers.recording.db_auth import password_source
from retinue_workers.settings.settings import Settings
from retinue_workers.worker import Worker, image_limits

log = structlog.get_logger(__name__)

CONNECTIONS = 64
"""Most idle connections kept to a service, opened as they are needed: loaders, detectors that fetch
anew what had to wait, and a route's questions. A call beyond them opens one and drops it after."""


def compose(settings: Settings, stopping: Event) -> Worker | None:
    """Build a worker from settings, waiting for the database and the queue if they are away.

    Returns:
        The worker, not started; ``None`` if ``stopping`` was set while waiting.

    Raises:
        ConfigurationError: A setting is missing or wrong, or the schema is not migrated.
    """
    queue_url = settings.require_queue_url()
    database_url = settings.require_database_url()
    plugins = Plugins(folder=settings.plugins_dir)
    detectors = plugins.make(settings.detectors)
    try:
        engine = create_history_engine(
            database_url,
            application_name="retinue-worker",
            password=password_source(settings, database_url),
        )
    except ValueError as error:
        raise ConfigurationError(f"RETINUE_DATABASE_URL: {error}") from error
    clients = make_clients(connections=CONNECTIONS, receive_wait_seconds=settings.wait_time_seconds)

    def connect() -> SqsQueue:
        _check_schema(engine)
        return SqsQueue(
            clients.sqs,
            queue_url,
            polling_client=clients.polling_sqs,
            wait_seconds=settings.wait_time_seconds,
            visibility_timeout_seconds=settings.visibility_timeout_seconds,
        )

    queue = _when_available(connect, stopping)
    if queue is None:
        return None
    return Worker(
        settings,
        plugins=plugins,
        detectors=detectors,
        queue=queue,
        store=ObjectStore(clients.s3, image_limits(settings)),
        history=History(engine),
        ledger=ModelLedger(engine),
        look=lambda: read_backlog(clients.sqs, queue_url),
    )


def _check_schema(engine: Engine) -> None:
    try:
        check_schema(engine)
    except HistorySchemaError as error:
        raise ConfigurationError(str(error)) from error


def _when_available(connect: Callable[[], SqsQueue], stopping: Event) -> SqsQueue | None:
    """Try until the database and the queue answer."""
    tries = 0
    while not stopping.is_set():
        try:
            return connect()
        except (HistoryUnavailableError, QueueUnavailableError) as error:
            wait = backoff_seconds(tries)
            tries += 1
            log.error("waiting", reason=str(error), next_try_seconds=round(wait, 1))
            stopping.wait(wait)
    return None
