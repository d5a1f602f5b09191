"""The worker as a program: ``python -m retinue_workers``, or ``retinue worker``."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import click
import structlog
from prometheus_client import generate_latest
from retinue_history import HistoryError
from retinue_sdk import ConfigurationError

from retinue_workers.bootstrap import compose
from retinue_workers.intake.sqs import QueueUnavailableError
from retinue_workers.ops import logs
from retinue_workers.ops.emf import EmbeddedMetrics
from retinue_workers.ops.health import HealthServer
from retinue_workers.settings.settings import Settings
from retinue_workers.worker import Worker

log = structlog.get_logger("retinue_workers")

GARBAGE = 10_000
"""How many new containers there are when Python looks for circles among them. An answer is some
150, nearly all of them gone before, in no circle; Python's own 700 would be every fifth image."""


@click.command(
    short_help="Consume the queue until told to stop.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--plugins-dir",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Folder of plugins that are one Python file each.  [default: RETINUE_PLUGINS_DIR]",
)
def worker(plugins_dir: Path | None) -> None:
    """Consume the queue until told to stop (the program that ECS runs).

    Needs RETINUE_QUEUE_URL, RETINUE_DATABASE_URL and RETINUE_DETECTORS. SIGTERM or Ctrl-C stops it
    gracefully: running detectors finish within the grace, the rest goes back to the queue.
    """
    given = {} if plugins_dir is None else {"plugins_dir": plugins_dir}
    settings = Settings.load(**given)
    logs.configure(settings.log_format, settings.log_level)
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        log.info("signal", name=signal.Signals(number).name)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    composed = compose(settings, stopping)
    if composed is None:
        return
    with exporting(composed, settings):
        composed.start()
        gc.freeze()  # what the start made stays: no use in searching it for garbage ever again
        gc.set_threshold(GARBAGE)
        stopping.wait()
        composed.stop()
    try:
        sys.stdout.flush()
    except OSError:  # metrics that nobody can take are lost; Python would end with a code of 120
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def exporting(worker: Worker, settings: Settings) -> Iterator[None]:
    """Let the world see how the worker is, as the settings want it.

    Raises:
        ConfigurationError: The port is taken.
    """
    with ExitStack() as exporters:
        if settings.health_port is not None:
            try:
                server = HealthServer(
                    settings.health_port,
                    worker.pulse.state,
                    lambda: generate_latest(worker.metrics.registry),
                )
            except OSError as error:
                raise ConfigurationError(
                    f"RETINUE_HEALTH_PORT: cannot listen on port {settings.health_port}: {error}"
                ) from error
            server.start()
            exporters.callback(server.stop)
            log.info("health_answers", port=server.port)
        if settings.metrics_namespace is not None:
            embedded = EmbeddedMetrics(worker.metrics.registry, settings.metrics_namespace)
            embedded.start()
            exporters.callback(embedded.stop)
        yield


def main() -> None:
    """Run the command; a wrong setting ends with exit code 2, a queue or database away with 1."""
    try:
        worker(prog_name="python -m retinue_workers")
    except ConfigurationError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except (HistoryError, QueueUnavailableError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
