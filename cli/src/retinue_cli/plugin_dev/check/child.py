"""Run checks in a detector's process."""

import faulthandler
import os
import signal
import sys
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from threading import Lock, Thread

from retinue_sdk import AnyDetector, ConfigurationError, Input, JobDetector
from retinue_sdk.plugins.manager import Plugins, plugin_errors
from retinue_sdk.testing import CHECKS, Subject, run_checks
from retinue_workers.detectors.isolation.child import die_with

from retinue_cli.plugin_dev.check.bucket import CheckBucket
from retinue_cli.plugin_dev.check.request import (
    CheckMessage,
    CheckRequest,
    DetectorMade,
    DetectorRefused,
    Heartbeat,
)

HEARTBEAT_SECONDS = 1.0
"""Interval of the heartbeat."""


class _Channel:
    """The channel to the parent process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = Lock()

    def send(self, message: CheckMessage) -> None:
        with self._lock:
            self._connection.send(message)

    def beat(self) -> None:
        """Send heartbeats. Native code that keeps Python's lock stops them."""
        while True:
            self.send(Heartbeat())
            time.sleep(HEARTBEAT_SECONDS)


def main(request: CheckRequest, first: int, connection: Connection, parent_id: int) -> None:
    """Apply the checks from number ``first`` on, and exit, even if threads hang."""
    die_with(parent_id)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent decides
    faulthandler.enable()  # report where native code crashes
    channel = _Channel(connection)
    Thread(target=channel.beat, name="alive", daemon=True).start()
    try:
        [made] = Plugins(folder=request.folder).make({request.detector: request.options})
        with plugin_errors(made):
            subject = _subject(request, made)
            unread = made.capabilities.input is Input.REFERENCE and request.bucket is None
    except ConfigurationError as error:
        channel.send(DetectorRefused(str(error)))
    else:
        channel.send(DetectorMade(made.version, unread))
        run_checks(subject, CHECKS[first:], on_result=channel.send)
    connection.close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _subject(request: CheckRequest, made: AnyDetector) -> Subject:
    """Return the detector and its pictures.

    Raises:
        ConfigurationError: The bucket can't be used, or the detector processes videos.
    """
    if isinstance(made, JobDetector):
        raise ConfigurationError(
            f"{made.name} processes videos, in jobs of a service, and these checks are for "
            "detectors of images: subclass retinue_sdk.testing.BaseJobs in a test instead"
        )
    images = request.memory_images
    if images is None:
        images = 0 if made.capabilities.usd_per_unit else 1_000
    subject = Subject(
        type(made), request.options, timeout_seconds=request.timeout_seconds, memory_images=images
    )
    if request.photographs:
        subject = replace(subject, photographs=request.photographs)
    if request.bucket is not None:
        subject = replace(subject, store=CheckBucket(request.bucket, request.prefix).put)
    return subject
