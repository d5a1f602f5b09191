"""Read the frames of videos, each decoded in a process of its own, from the worker's side."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from retinue_sdk import InvalidImageError, RetriableError

from retinue_workers.detectors.errors import DetectorCrashedError
from retinue_workers.detectors.isolation.child_process import ChildProcess
from retinue_workers.detectors.isolation.protocol import JsonMessage, error_of
from retinue_workers.detectors.isolation.supervisor import STOPPED, TIMED_OUT, ProcessSupervisor
from retinue_workers.intake.video_container import REMEDY
from retinue_workers.settings.video import VideoSampling
from retinue_workers.video import child

if TYPE_CHECKING:
    from retinue_sdk import Pixels

MAX_MEMORY_BYTES = 3 * 2**30
"""Maximum data of a decoder's process in bytes. 8K in 10 bits needs about half of it."""


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One frame.

    Attributes:
        time_ms: Its time after the first frame, in milliseconds.
        pixels: Its pixels as displayed, perhaps scaled down.
    """

    time_ms: int
    pixels: "Pixels"


class VideoDecoder:
    """Opens videos. Its processes are killed if they exceed a deadline or their memory.

    Args:
        max_px: Maximum number of pixels of a frame.
        timeout_seconds: Time limit for decoding up to the next frame that is sampled.
        max_memory_bytes: Maximum data of a process in bytes (only on Linux).
    """

    def __init__(
        self,
        *,
        max_px: int,
        timeout_seconds: float,
        max_memory_bytes: int = MAX_MEMORY_BYTES,
    ) -> None:
        self._max_px = max_px
        self._timeout_seconds = timeout_seconds
        self._max_memory_bytes = max_memory_bytes
        self._lock = Lock()
        self._supervisor: ProcessSupervisor[ChildProcess] | None = None
        self._is_closed = False

    def open(self, path: Path, sampling: VideoSampling) -> "VideoReader":
        """Start to decode a file. The caller closes the reader.

        Raises:
            RetriableError: No process can be started, or the worker stops.
            InvalidImageError: The video can't be decoded.
        """
        supervisor = self._started()
        reader = VideoReader(supervisor.spawn(), supervisor, self._timeout_seconds)
        try:
            reader.start(
                {"path": str(path), "sampling": sampling.model_dump(), "max_px": self._max_px}
            )
        except BaseException:
            reader.close()
            raise
        return reader

    def close(self) -> None:
        """Kill all processes. Their readers raise ``RetriableError``."""
        with self._lock:
            self._is_closed = True
        if self._supervisor is not None:
            self._supervisor.close()

    def _started(self) -> ProcessSupervisor[ChildProcess]:
        """Return the supervisor, started for the first video."""
        with self._lock:
            if self._is_closed:
                raise RetriableError("the worker stops")
            if self._supervisor is None:
                start = partial(ChildProcess, "video", child.main, self._max_memory_bytes)
                self._supervisor = ProcessSupervisor("video", start)
            return self._supervisor


class VideoReader:
    """Reads one video. All methods block.

    Attributes:
        facts: The facts of the video, named as in ``retinue_sdk.Video``.
        is_truncated: Whether pictures were missing; known at the end.
    """

    def __init__(
        self,
        process: ChildProcess,
        supervisor: ProcessSupervisor[ChildProcess],
        timeout_seconds: float,
    ) -> None:
        self._process = process
        self._supervisor = supervisor
        self._timeout_seconds = timeout_seconds
        self.facts: dict[str, Any] = {}
        self.is_truncated = False

    def start(self, wanted: JsonMessage) -> None:
        """Send the process the file and the sampling, and wait for the video's facts."""
        with self._explaining():
            self._process.send(wanted)
            self.facts = self._receive()["facts"]

    def read(self) -> VideoFrame | None:
        """Return the next frame, or ``None`` at the end.

        Raises:
            RetriableError: The worker stops.
            InvalidImageError: The rest can't be decoded.
        """
        with self._explaining():
            message = self._receive()
            if "is_truncated" in message:
                self.is_truncated = message["is_truncated"]
                return None
            import numpy as np

            height, width, _ = shape = tuple(message["shape"])
            data = self._process.receive_frame(height * width * 3)
            pixels = np.frombuffer(data, dtype=np.uint8).reshape(shape)
            return VideoFrame(message["time_ms"], pixels)

    def close(self) -> None:
        """End the process."""
        self._supervisor.end(self._process)

    def _receive(self) -> JsonMessage:
        message = self._process.receive()
        if "error" in message:
            raise error_of(message["error"])
        return message

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Kill the process after the time limit, and turn its end into the video's error."""
        deadline = time.monotonic() + self._timeout_seconds
        process = self._process
        try:
            with self._supervisor.guarding(process, deadline), process.explaining():
                yield
        except DetectorCrashedError as error:
            if process.cause == TIMED_OUT:
                raise InvalidImageError(
                    f"decoding up to the next frame took more than {self._timeout_seconds:g} s: "
                    f"raise RETINUE_DETECTOR_TIMEOUT_SECONDS, or {REMEDY}",
                    code="decoder_timeout",
                    retryable=True,
                ) from error
            if process.cause == STOPPED:
                raise RetriableError(STOPPED) from error
            raise InvalidImageError(
                f"decoding ended with the decoder's process: {process.explain()}; {REMEDY}",
                code="decoder_crashed",
                retryable=True,
            ) from error
