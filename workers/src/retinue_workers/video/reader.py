"""Read the frames of videos, which other processes decode, from the worker's side."""

import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from threading import Lock
from typing import IO, Any

from retinue_sdk import InvalidImageError, RetriableError

from retinue_workers.detectors.errors import DetectorCrashedError
from retinue_workers.detectors.isolation.child_process import ChildProcess
from retinue_workers.detectors.isolation.protocol import JsonMessage, error_of
from retinue_workers.detectors.isolation.supervisor import STOPPED, TIMED_OUT, ProcessSupervisor
from retinue_workers.intake.video_container import REMEDY
from retinue_workers.settings.video import VideoSampling
from retinue_workers.video import child
from retinue_workers.video.frame import VideoFrame

MAX_MEMORY_BYTES = 3 * 2**30
"""Maximum data of a decoder's process in bytes. 8K in 10 bits needs about half of it."""

CRASHED = "decoder_crashed"
"""The error code of a video whose decoder's process ended by itself."""

MAX_VIDEOS = 50
"""How many videos a process decodes, so that what a decoder leaks doesn't add up."""


class VideoDecoder:
    """Opens videos. Its processes are killed if they exceed a deadline or their memory.

    A process decodes one video at a time. One that has decoded a whole video waits for another;
    after an error, damage or an early end, and if another one waits already, it is killed.

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
        self._idle: tuple[ChildProcess, int] | None = None
        self._is_closed = False

    def open(self, file: IO[bytes], sampling: VideoSampling) -> "VideoReader":
        """Start to decode a file, which needs no name. The caller closes the reader.

        Raises:
            RetriableError: No process can be started, or the worker stops.
            InvalidImageError: The video can't be decoded.
        """
        return self._open(file, sampling.model_dump())

    def times_ms(self, file: IO[bytes]) -> Sequence[int]:
        """Return the time of each frame in milliseconds after the first, in the order of display.

        Decodes nothing. The time limit is for the whole file.

        Raises:
            RetriableError: No process can be started.
            InvalidImageError: The file can't be read as a video.
        """
        with closing(self._open(file, None)) as reader:
            return reader.read_times()

    def close(self) -> None:
        """Kill all processes. Their readers raise ``RetriableError``."""
        with self._lock:
            self._is_closed = True
        if self._supervisor is not None:
            self._supervisor.close()

    def _open(self, file: IO[bytes], sampling: JsonMessage | None) -> "VideoReader":
        supervisor = self._started()
        wanted = {"sampling": sampling, "max_px": self._max_px}
        with self._lock:
            idle, self._idle = self._idle, None
        if idle is not None:
            try:
                return self._start(*idle, file, wanted)
            except InvalidImageError as error:
                if error.code != CRASHED:  # perhaps it ended while it waited
                    raise
        return self._start(supervisor.spawn(), 0, file, wanted)

    def _start(
        self, process: ChildProcess, videos: int, file: IO[bytes], wanted: JsonMessage
    ) -> "VideoReader":
        """Pass a file to a process that has decoded this number of videos."""
        keep = partial(self._keep, process, videos + 1)
        reader = VideoReader(process, self._started(), self._timeout_seconds, keep)
        try:
            reader.start(file, wanted)
        except BaseException:
            reader.close()
            raise
        return reader

    def _keep(self, process: ChildProcess, videos: int) -> bool:
        """Return whether to keep a process for the next video."""
        with self._lock:
            if self._idle is not None or videos >= MAX_VIDEOS:
                return False
            self._idle = (process, videos)
            return True

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
        keep: Callable[[], bool],
    ) -> None:
        self._process = process
        self._supervisor = supervisor
        self._timeout_seconds = timeout_seconds
        self._keep = keep
        self._is_complete = False
        self.facts: dict[str, Any] = {}
        self.is_truncated = False

    def start(self, file: IO[bytes], wanted: JsonMessage) -> None:
        """Send the process the file and the sampling, and wait for the video's facts."""
        with self._explaining():
            self._process.send(wanted)
            self._process.send_file(file)
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
                self._is_complete = not self.is_truncated
                return None
            import numpy as np

            height, width, _ = shape = tuple(message["shape"])
            data = self._process.receive_frame(height * width * 3)
            pixels = np.frombuffer(data, dtype=np.uint8).reshape(shape)
            return VideoFrame(message["time_ms"], pixels, message["is_after_cut"])

    def read_times(self) -> Sequence[int]:
        """Return the times of all frames, for a reader that was opened for them."""
        with self._explaining():
            times_ms = array("I")
            times_ms.frombytes(
                self._process.receive_frame(self.facts["frames"] * times_ms.itemsize)
            )
            self._is_complete = True
            return times_ms

    def close(self) -> None:
        """End the process, or keep it for another video."""
        if not (self._is_complete and self._keep()):
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
                code=CRASHED,
                retryable=True,
            ) from error
