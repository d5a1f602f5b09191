"""Build a worker from its settings."""

from functools import partial

import structlog
from retinue_aws import AwsClient
from retinue_history import (
    ConnectionPool,
    History,
    HistorySetupError,
    HistoryUnavailableError,
    Jobs,
    ModelSessions,
    check_schema,
)
from retinue_sdk import ConfigurationError
from retinue_sdk.plugins.manager import Plugins

from retinue_workers.intake.capacity import image_limits
from retinue_workers.intake.clients import Clients, aws_configuration, make_clients
from retinue_workers.intake.errors import AwsUnavailableError, QueueUnavailableError
from retinue_workers.intake.object_reader import ObjectReader
from retinue_workers.intake.queue_depth import read_queue_depth
from retinue_workers.intake.s3 import ObjectStore
from retinue_workers.intake.sqs import SqsQueue
from retinue_workers.limits.retry import retry_until_available
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.recording.db_auth import password_source
from retinue_workers.settings.settings import Settings
from retinue_workers.worker import Worker

log = structlog.get_logger(__name__)

CONNECTIONS = 64
"""Maximum number of idle connections to a service. Connections are opened when needed."""


async def build_worker(settings: Settings) -> Worker:
    """Build a worker from settings. Wait for unavailable credentials, database and queue.

    Raises:
        ConfigurationError: A setting is missing or invalid, or the database isn't set up.
    """
    queue_url = settings.require_queue_url()
    database_url = settings.require_database_url()
    plugins = Plugins(folder=settings.plugins_dir)
    detectors = plugins.make(settings.detectors)
    try:
        pool = ConnectionPool(
            database_url,
            application_name="retinue-worker",
            password=password_source(settings, database_url),
        )
    except ValueError as error:
        raise ConfigurationError(f"RETINUE_DATABASE_URL: {error}") from error
    threads = DaemonThreads("bootstrap", 1)
    clients = await retry_until_available(
        partial(threads.run, _clients, settings.wait_time_seconds),
        unavailable=AwsUnavailableError,
        event="waiting_for_dependencies",
    )
    with aws_configuration():
        queue = SqsQueue(
            AwsClient(clients.sqs),
            queue_url,
            polling_client=AwsClient(clients.polling_sqs),
            wait_seconds=settings.wait_time_seconds,
            visibility_timeout_seconds=settings.visibility_timeout_seconds,
        )

    async def connect() -> None:
        await threads.run(_check_schema, pool)
        await queue.connect()

    try:
        await retry_until_available(
            connect,
            unavailable=(HistoryUnavailableError, QueueUnavailableError),
            event="waiting_for_dependencies",
        )
    finally:
        threads.close()
    return Worker(
        settings,
        plugins=plugins,
        detectors=detectors,
        queue=queue,
        store=ObjectStore(lambda: _reader(clients), image_limits(settings)),
        history=History(pool),
        jobs=Jobs(pool),
        sessions=ModelSessions(pool),
        queue_depth=partial(read_queue_depth, clients.sqs, queue_url),
    )


def _clients(wait_time_seconds: int) -> Clients:
    return make_clients(connections=CONNECTIONS, wait_time_seconds=wait_time_seconds)


def _reader(clients: Clients) -> ObjectReader:
    client = clients.s3()
    with aws_configuration():
        return ObjectReader(client)


def _check_schema(pool: ConnectionPool) -> None:
    try:
        with pool.connection() as connection:
            check_schema(connection)
    except HistorySetupError as error:
        pool.close()
        raise ConfigurationError(str(error)) from error
