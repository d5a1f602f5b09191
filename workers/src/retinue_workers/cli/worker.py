"""``retinue worker``."""

import signal
import sys
import threading
from types import FrameType

import click
import structlog

from retinue_workers import log as logs
from retinue_workers.compose import compose
from retinue_workers.settings import Settings


@click.command(short_help="Consume the queue until told to stop.")
def worker() -> None:
    """Consume the queue until told to stop (the program that ECS runs).

    Needs RETINUE_QUEUE_URL, RETINUE_DATABASE_URL and RETINUE_DETECTORS. SIGTERM or Ctrl-C stops it
    gracefully: running detectors finish within the grace, the rest goes back to the queue.
    """
    settings = Settings.load()
    logs.configure(settings.log_format)
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        structlog.get_logger(__name__).info("signal", name=signal.Signals(number).name)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    composed = compose(settings, stopping)
    if composed is None:
        return
    composed.start()
    stopping.wait()
    composed.stop()
    sys.stdout.flush()
