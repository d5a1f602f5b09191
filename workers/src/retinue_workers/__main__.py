"""The worker as a program: ``python -m retinue_workers``, or ``retinue worker``."""

import asyncio
import ctypes
import faulthandler
import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import structlog
import uvloop
from prometheus_client import generate_latest
from retinue_history import HistoryError
from retinue_sdk import ConfigurationError
from retinue_sdk.cores import usable_cores

from retinue_workers.bootstrap import build_worker
from retinue_workers.intake.errors import AwsUnavailableError, QueueUnavailableError
from retinue_workers.ops import logs
from retinue_workers.ops.emf import EmbeddedMetrics
from retinue_workers.ops.health import HealthServer
from retinue_workers.ops.stack_dump import dump_on_signal
from retinue_workers.settings.settings import Settings
from retinue_workers.worker import Worker

log = structlog.get_logger("retinue_workers")

GARBAGE_OBJECTS = 50_000
"""How many new objects there must be before Python looks for cycles among them. With its own 700,
this took a tenth of the worker's time. The worker makes no cycles for an image; plugins may.
"""

M_ARENA_MAX = -8
"""glibc's parameter for the maximum number of heaps. By default each thread has its own, in which
memory stays that other threads can't use: 4 MB.
"""

EXIT_INTERRUPTED = 130
"""The exit status that shells use for a program that Ctrl-C ended."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Maximum number of threads for plugins' libraries, which by default count the host's cores."""


@click.command(
    short_help="Consume the queue until stopped.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--plugins-dir",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Folder of plugins that are one Python file each.  [default: RETINUE_PLUGINS_DIR]",
)
def worker(plugins_dir: Path | None) -> None:
    """Process the messages of the queue until stopped. ECS runs this command.

    Needs RETINUE_QUEUE_URL, RETINUE_DATABASE_URL and RETINUE_DETECTORS. SIGTERM or Ctrl-C stops it
    gracefully: running detectors finish within the grace period, and other messages are requeued.
    """
    given = {} if plugins_dir is None else {"plugins_dir": plugins_dir}
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):  # glibc
        libc.mallopt(M_ARENA_MAX, 1)
    settings = Settings.load(**given)
    logs.configure(settings.log_format, settings.log_level)
    for variable in THREAD_VARIABLES:
        os.environ.setdefault(variable, str(usable_cores()))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        received = runner.run(_serve(settings))
    try:
        sys.stdout.flush()
    except OSError:  # metrics can no longer be written; Python would exit with code 120
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if received is signal.SIGINT:
        sys.exit(EXIT_INTERRUPTED)


async def _serve(settings: Settings) -> signal.Signals:
    """Build a worker, run it until a signal arrives, and return the signal.

    A signal also interrupts building and starting: a model can take minutes to load.
    """
    loop = asyncio.get_running_loop()
    signalled: asyncio.Future[signal.Signals] = loop.create_future()
    dump_on_signal(loop)
    faulthandler.enable(all_threads=False)  # report where native code crashes
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, signalled, number)
    building = asyncio.create_task(build_worker(settings))
    if not await _is_done_before(signalled, building):
        return signalled.result()
    composed = building.result()
    with exporting(composed, settings):
        starting = asyncio.create_task(composed.start())
        if not await _is_done_before(signalled, starting):
            return signalled.result()
        starting.result()
        gc.freeze()  # objects of the start stay, so collecting garbage among them is useless
        gc.set_threshold(GARBAGE_OBJECTS)
        received = await signalled
        await composed.stop()
    return received


async def _is_done_before(
    signalled: "asyncio.Future[signal.Signals]", work: "asyncio.Task[Any]"
) -> bool:
    """Return whether a task ends before a signal arrives. If not, cancel it, and wait for that."""
    either: set[asyncio.Future[Any]] = {work, signalled}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        return True
    work.cancel()
    await asyncio.wait({work})
    return False


def _stop(signalled: "asyncio.Future[signal.Signals]", number: signal.Signals) -> None:
    log.info("signal_received", name=number.name)
    if not signalled.done():
        signalled.set_result(number)


@contextmanager
def exporting(worker: Worker, settings: Settings) -> Iterator[None]:
    """Export health, metrics and traces inside the block, according to the settings.

    Raises:
        ConfigurationError: The port is taken.
    """
    with ExitStack() as exporters:
        if settings.health_port is not None:
            try:
                server = HealthServer(
                    settings.health_port,
                    worker.liveness.state,
                    lambda: generate_latest(worker.metrics.registry),
                )
            except OSError as error:
                raise ConfigurationError(
                    f"RETINUE_HEALTH_PORT: cannot listen on port {settings.health_port}: {error}"
                ) from error
            server.start()
            exporters.callback(server.stop)
            log.info("health_server_started", port=server.port)
        if settings.metrics_namespace is not None:
            embedded = EmbeddedMetrics(worker.metrics.registry, settings.metrics_namespace)
            embedded.start()
            exporters.callback(embedded.stop)
        if settings.traces_endpoint is not None:
            from retinue_workers.dispatch.tracing import exporting_traces

            exporters.enter_context(exporting_traces(settings.traces_endpoint))
        yield


def main() -> None:
    """Run the command. Exit with code 2 for an invalid setting, 1 for an unavailable dependency."""
    try:
        worker(prog_name="python -m retinue_workers", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:  # Ctrl-C before the worker handles signals
        sys.exit(EXIT_INTERRUPTED)
    except ConfigurationError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except (HistoryError, QueueUnavailableError, AwsUnavailableError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
