"""What runs in the process of a detector that is checked."""

import faulthandler
import os
import signal
import sys
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from threading import Lock, Thread

from retinue_sdk import AnyDetector, ConfigurationError, Input
from retinue_sdk.plugins.manager import Plugins
from retinue_sdk.testing import CHECKS, Subject, run_checks
from retinue_workers.detectors.isolation.child import die_with

from retinue_cli.plugin_dev.check.bucket import CheckBucket
from retinue_cli.plugin_dev.check.request import Alive, Message, Opened, Order, Refused

ALIVE_SECONDS = 1.0
"""How often the process says that it runs Python."""


class _Line:
    """The line to who started the process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = Lock()

    def say(self, message: Message) -> None:
        with self._lock:
            self._connection.send(message)

    def live(self) -> None:
        """Say so, again and again; native code that keeps Python's lock silences it."""
        while True:
            self.say(Alive())
            time.sleep(ALIVE_SECONDS)


def main(order: Order, first: int, connection: Connection, parent_id: int) -> None:
    """Apply the checks from number ``first`` on, and end, whatever threads hang by then."""
    die_with(parent_id)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent decides
    faulthandler.enable()  # a crash in native code says where
    line = _Line(connection)
    Thread(target=line.live, name="alive", daemon=True).start()
    try:
        [made] = Plugins(folder=order.folder).make({order.detector: order.options})
        subject = _subject(order, made)
    except ConfigurationError as error:
        line.say(Refused(str(error)))
    else:
        unread = made.capabilities.input is Input.REFERENCE and order.bucket is None
        line.say(Opened(made.version, unread))
        run_checks(subject, CHECKS[first:], told=line.say)
    connection.close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _subject(order: Order, made: AnyDetector) -> Subject:
    """The detector, and the pictures to show it.

    Raises:
        ConfigurationError: The bucket cannot be used.
    """
    images = order.memory_images
    if images is None:
        images = 0 if made.capabilities.usd_per_unit else 1_000
    subject = Subject(
        type(made), order.options, timeout_seconds=order.timeout_seconds, memory_images=images
    )
    if order.photographs:
        subject = replace(subject, photographs=order.photographs)
    if order.bucket is not None:
        subject = replace(subject, store=CheckBucket(order.bucket, order.prefix).put)
    return subject
