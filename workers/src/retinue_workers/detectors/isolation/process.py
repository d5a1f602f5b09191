"""One process of an isolated detector, from the worker's side."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from threading import Lock

import structlog
from retinue_sdk import DetectorError, Findings, Image, InvalidImageError

from retinue_workers.detectors.errors import DetectorCrashedError
from retinue_workers.detectors.isolation import child
from retinue_workers.detectors.isolation.protocol import (
    JsonMessage,
    answer_of,
    billed_of,
    error_data,
    error_of,
    pack,
    reference_data,
    unpack,
)

log = structlog.get_logger(__name__)

MAX_MESSAGE_BYTES = 2**20
"""Maximum size of a message from the process other than an answer, in bytes."""

JOIN_SECONDS = 5.0
"""How long to wait for a killed process. The kernel ends it within milliseconds."""

_spawn = multiprocessing.get_context("spawn")
_starting = Lock()  # multiprocessing keeps a list of its processes without a lock


class DetectorProcess:
    """A process with a detector in it. Only one thread at a time may call it; any may kill it.

    Args:
        name: The detector's name.
        spec: The description of the detector.

    Attributes:
        model_version: The latest model version that the detector reported.
        process_id: The process id.
        cause: Why the worker killed it; ``None`` if the worker didn't.
    """

    def __init__(self, name: str, spec: "child.DetectorSpec") -> None:
        """Start the process. ``ready`` tells when its detector has started.

        The process is killed when the calling *thread* ends, because Linux treats the thread as the
        parent.
        """
        self.name = name
        self.model_version: str | None = None
        self._ready = False
        self.cause: str | None = None
        self._connection, theirs = _spawn.Pipe()
        self._process = _spawn.Process(
            target=child.main, args=(spec, theirs, os.getpid()), name=name, daemon=True
        )
        with _starting:
            self._process.start()
        theirs.close()
        self.process_id = self._process.pid

    def ready(self, patience_seconds: float | None) -> bool:
        """Wait until the detector has started. Return ``False`` if that takes longer.

        Raises:
            DetectorCrashedError: The process ended.
            RetinueError: The detector's ``start`` raised it.
        """
        if self._ready:
            return True
        with self._explaining():
            if not self._connection.poll(patience_seconds):
                return False
            message = self._receive()
        if "error" in message:
            if "traceback" in message:
                log.error("detector_start_failed", detector=self.name, why=message["traceback"])
            raise error_of(message["error"])
        self.model_version = message["model_version"]
        self._ready = True
        return True

    def detect(
        self, images: Sequence[Image], *, with_pixels: bool, max_bytes: int
    ) -> list[Findings | DetectorError]:
        """Send images to the detector and return its answers.

        Args:
            images: The images.
            with_pixels: Whether to send their pixels, too.
            max_bytes: Maximum size of the answers in bytes.

        Raises:
            DetectorCrashedError: The process ended.
        """
        pixels = [image.pixels() for image in images] if with_pixels else []
        with self._explaining():
            self._send(
                {
                    "detect": [
                        {
                            "reference": reference_data(image.reference),
                            "size_bytes": image.size_bytes,
                            "shape": pixels[index].shape if with_pixels else None,
                        }
                        for index, image in enumerate(images)
                    ],
                    "max_bytes": max_bytes,
                    "frames": len(pixels),
                }
            )
            for array in pixels:
                self._connection.send_bytes(array.data.cast("B"))
            while "load" in (message := self._receive()):
                self._load(images, message["load"])
            frames = [self._connection.recv_bytes(max_bytes) for _ in images]
        self.model_version = message["model_version"]
        if "traceback" in message:
            log.error("detector_raised", detector=self.name, why=message["traceback"])
        return [read_answer(frame) for frame in frames]

    def close(self, patience_seconds: float) -> None:
        """Let the detector close, and end the process. Kill it if that takes too long."""
        with suppress(OSError, ValueError):
            self._send({"close": True})
            self._process.join(patience_seconds)
        self.kill("the worker stops")

    def kill(self, cause: str) -> None:
        """Kill the process immediately, and reap it."""
        self.cause = self.cause or cause
        with suppress(ValueError):  # killed and reaped before
            self._process.kill()
            self._process.join(JOIN_SECONDS)

    @property
    def alive(self) -> bool:
        """Return whether the process is running."""
        return self._process.is_alive()

    def _load(self, images: Sequence[Image], index: int) -> None:
        """Send the bytes of an image, or the error of loading them."""
        try:
            data = images[index].read()
        except Exception as error:  # noqa: BLE001 - the detector is to know
            self._send({"error": error_data(error)})
        else:
            self._send({"frames": 1})
            self._connection.send_bytes(data)

    def _send(self, message: JsonMessage) -> None:
        self._connection.send_bytes(pack(message))

    def _receive(self) -> JsonMessage:
        return unpack(self._connection.recv_bytes(MAX_MESSAGE_BYTES))

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Turn errors of the pipe into the reason for the process's end."""
        try:
            yield
        except (EOFError, OSError, ValueError, KeyError, RecursionError) as error:
            raise DetectorCrashedError(
                f"the process of {self.name} is gone: {self.explain()}"
            ) from error

    def explain(self) -> str:
        """Return why the process ended, as text. Kill it if it still runs."""
        if self.cause is None:
            self._process.join(1.0)  # its end of the pipe closes shortly before it ends
        status = self._process.exitcode
        if self.cause is None and status is None:
            self.kill("protocol error: unreadable message from the detector process")
        if self.cause is not None:
            return self.cause
        return how_it_ended(status)


def how_it_ended(status: int | None) -> str:
    """Return how a process ended, as text, from its exit status. Negative values are signals."""
    if status == child.OUT_OF_MEMORY:
        return "it ran out of memory"
    if status is not None and status < 0:
        with suppress(ValueError):
            its = signal.Signals(-status).name
            hint = " (out of memory?)" if -status == signal.SIGKILL else ""
            return f"it was ended by {its}{hint}"
    return f"it exited with status {status}"


def read_answer(frame: bytes) -> Findings | DetectorError:
    """Decode and check one answer. The process may be corrupted.

    Raises:
        ConfigurationError: The detector raised it.
    """
    billed_units = Decimal(0)
    try:
        data = unpack(frame)
        billed_units = billed_of(data)
        answer = answer_of(data)
    except Exception as error:  # noqa: BLE001 - any value of any type can be in it
        return InvalidImageError(
            f"the answer cannot be read: {type(error).__name__}: {error}",
            code="invalid_result",
            retryable=True,
            billed_units=billed_units,
        )
    if isinstance(answer, Findings | DetectorError):
        return answer
    raise answer
