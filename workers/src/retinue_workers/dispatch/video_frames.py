"""Process a video with a detector of images: fetch, decode, detect in frames, join."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import IO

import structlog
from retinue_sdk import Findings, Image, ImageLimits, InvalidImageError
from retinue_sdk.errors import drop_tracebacks

from retinue_workers.detectors.bill import billed_units
from retinue_workers.detectors.retry_policy import Answer, Fail, Succeed
from retinue_workers.detectors.runner import DetectorRunner
from retinue_workers.detectors.shortage import DISK_FULL
from retinue_workers.dispatch.attempts import Attempts, Concluded
from retinue_workers.intake.s3 import ObjectStore
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.settings.video import VideoSampling
from retinue_workers.video.appearances import Appearances
from retinue_workers.video.frame import VideoFrame
from retinue_workers.video.objects import VideoObject
from retinue_workers.video.reader import VideoDecoder, VideoReader
from retinue_workers.work import Task, TaskResult

log = structlog.get_logger(__name__)

PART_BYTES = 8 * 2**20
"""How many bytes of a video are fetched at a time."""

MAX_SECONDS = 10 * 3_600.0
"""Maximum time for one video. SQS hides a message for 12 hours at most."""

TELL_SECONDS = 2.0
"""Interval of the log's progress lines about a video."""

MAX_FRAMES_WAITING = 32
"""Maximum number of frames of one video that wait for their detector. A frame has 4 MB."""


@dataclass(slots=True)
class _Outcome:
    """The sum of the frames' answers.

    Attributes:
        started_at: When the first call began.
        duration_ms: Milliseconds of all calls.
        reserved_usd: Sum that the calls reserved from the budget.
        billed_units: Units billed for the calls.
        model_version: The last version that the detector reported.
        frames: Number of frames.
    """

    started_at: datetime | None = None
    duration_ms: float = 0.0
    reserved_usd: Decimal = Decimal(0)
    billed_units: Decimal = Decimal(0)
    model_version: str | None = None
    frames: int = 0

    def add(self, task: Task, answer: Answer) -> None:
        """Add a frame's last answer."""
        self.started_at = self.started_at or answer.started_at
        self.duration_ms += answer.duration_ms
        self.reserved_usd += answer.reserved_usd
        self.billed_units += task.billed_units
        self.frames += 1
        if isinstance(answer.value, Findings):
            self.billed_units += billed_units(answer.value)
            self.model_version = answer.value.model_version or self.model_version

    def answer(self, value: Findings | BaseException) -> Answer:
        """Return the answer for the video."""
        return Answer(
            value,
            self.started_at or datetime.now(UTC),
            self.duration_ms,
            reserved_usd=self.reserved_usd,
            images=max(self.frames, 1),
        )


class VideoFrames:
    """Processes videos with detectors that take pixels.

    A video is fetched and decoded once for all of its detectors that sample it in the same way.
    Each frame is given to all of them, and the next one is decoded when all have room for it.

    Args:
        decoder: Decodes them.
        store: Fetches them.
        attempts: Calls the detectors.
        max_videos: Maximum number of videos that are fetched or decoded at the same time.
        max_bytes: Maximum size of a video in bytes.
        max_appearances: Maximum number of appearances in a video.
        on_progress: Called after each frame.
    """

    def __init__(
        self,
        *,
        decoder: VideoDecoder,
        store: ObjectStore,
        attempts: Attempts,
        max_videos: int,
        max_bytes: int,
        max_appearances: int,
        on_progress: Callable[[], None],
    ) -> None:
        self._decoder = decoder
        self._store = store
        self._attempts = attempts
        self._limits = ImageLimits(max_bytes=max_bytes)
        self._max_appearances = max_appearances
        self._on_progress = on_progress
        self._threads = DaemonThreads("video", max_videos)
        self._room = asyncio.Semaphore(max_videos)
        self._files = 0
        self._file_closed = asyncio.Event()
        self._joinable: dict[tuple[VideoObject, VideoSampling], _Decoding] = {}

    async def detect(
        self, task: Task, video: VideoObject, runner: DetectorRunner
    ) -> Answer | TaskResult:
        """Return the detector's answer for a whole video: appearances instead of detections."""
        consumer = _Consumer(task, runner)
        outcome = consumer.outcome
        result: Findings | Exception | TaskResult
        try:
            async with self._consuming(consumer, video) as decoding:
                await decoding.began.wait()
                async with asyncio.timeout(MAX_SECONDS):
                    result = await self._join_findings(consumer, decoding)
        except asyncio.CancelledError:
            self._attempts.budget.release(runner.name, outcome.reserved_usd)
            raise
        except TimeoutError:
            result = InvalidImageError(
                f"the video took more than {MAX_SECONDS / 3_600:g} hours: sample fewer frames",
                code="detector_timeout",
                retryable=True,
            )
        except Exception as error:  # noqa: BLE001 - of S3, the decoder or a shortage
            result = error
        if isinstance(result, Exception):
            drop_tracebacks(result)
            task.billed_units += outcome.billed_units
        if isinstance(result, Findings | Exception):
            return outcome.answer(result)
        self._attempts.budget.release(runner.name, outcome.reserved_usd)
        return result

    def close(self) -> None:
        """Kill the decoder's processes, and end the threads."""
        self._decoder.close()
        self._threads.close()

    def _fetch(self, video: VideoObject, file: IO[bytes]) -> None:
        """Fetch a video into a file, part by part.

        Raises:
            DetectorError: As for ``ObjectStore.fetch``.
            OSError: The disk is full.
        """
        if video.size_bytes is not None:
            self._limits.check_bytes(video.size_bytes)
        total = 1
        while file.tell() < total:
            part, total = self._store.read_part(video.reference, file.tell(), PART_BYTES)
            self._limits.check_bytes(total)
            file.write(part)
        file.flush()

    @asynccontextmanager
    async def _fetched(self, video: VideoObject) -> "AsyncIterator[IO[bytes]]":
        """Yield a video's file. If others take the disk space, wait until one of them is closed."""
        while not (file := await self._try_to_fetch(video)):
            await self._file_closed.wait()
        try:
            yield file
        finally:
            self._close_file(file)

    async def _try_to_fetch(self, video: VideoObject) -> IO[bytes] | None:
        """Return a video's file; ``None`` if the disk is full and other videos have files."""
        file = tempfile.TemporaryFile(prefix="retinue-video-")  # noqa: SIM115 - closed by _fetched
        self._files += 1
        try:
            await self._threads.run(self._fetch, video, file)
        except BaseException as error:
            self._close_file(file)
            if isinstance(error, OSError) and error.errno in DISK_FULL and self._files:
                return None
            raise
        return file

    def _close_file(self, file: IO[bytes]) -> None:
        file.close()
        self._files -= 1
        self._file_closed.set()
        self._file_closed = asyncio.Event()

    @asynccontextmanager
    async def _consuming(
        self, consumer: "_Consumer", video: VideoObject
    ) -> "AsyncIterator[_Decoding]":
        """Pass a detector the frames of a video inside the block; they are decoded once."""
        sampling = consumer.runner.video or VideoSampling()
        decoding = self._joinable.get((video, sampling))
        if decoding is None:
            decoding = self._joinable[video, sampling] = _Decoding(video, sampling)
            decoding.running = asyncio.create_task(self._decode(decoding))
        decoding.consumers.append(consumer)
        try:
            yield decoding
        finally:
            decoding.consumers.remove(consumer)
            consumer.room.release()  # the next frame doesn't wait for it
            is_last = not decoding.consumers
            if is_last:
                self._close(decoding)
                decoding.running.cancel()
            await consumer.give_up()
            if is_last:
                await asyncio.wait({decoding.running})

    def _close(self, decoding: "_Decoding") -> None:
        """Let no more detectors join a decoding."""
        key = (decoding.video, decoding.sampling)
        if self._joinable.get(key) is decoding:
            del self._joinable[key]

    async def _decode(self, decoding: "_Decoding") -> None:
        """Fetch and decode a video for its consumers. Detectors can join until its first frame."""
        video = decoding.video
        try:
            async with self._room:
                decoding.began.set()
                async with self._fetched(video) as file:
                    open_file = partial(self._decoder.open, file, decoding.sampling)
                    reader = await self._threads.run(open_file)
                    try:
                        video.learn(reader.facts)
                        self._close(decoding)
                        await self._distribute(decoding, reader)
                    finally:
                        reader.close()
        except Exception as error:  # noqa: BLE001 - each consumer decides what it means
            decoding.end(error)
        finally:
            self._close(decoding)

    async def _distribute(self, decoding: "_Decoding", reader: VideoReader) -> None:
        """Start all consumers' calls for a frame when each has room for it."""
        while True:
            for consumer in list(decoding.consumers):
                await consumer.room.acquire()
            frame = await self._threads.run(reader.read)
            if frame is None:
                break
            image = Image.from_pixels(frame.pixels, decoding.video.reference)
            for consumer in decoding.consumers:
                consumer.calls.put_nowait(self._start(consumer, frame, image))
        if reader.is_truncated:
            decoding.video.mark_truncated()
        decoding.end(None)

    def _start(self, consumer: "_Consumer", frame: VideoFrame, image: Image) -> "_Call":
        """Start a detector's call for a frame."""
        task, runner = consumer.task, consumer.runner
        of_frame = Task(task.message, task.event, image, task.key, task.is_last_receive)

        async def ask() -> Answer:
            answer = await runner.detect(of_frame)
            if isinstance(answer.value, BaseException):
                of_frame.billed_units += billed_units(answer.value)
            return answer

        concluding = self._attempts.conclude(of_frame, runner, ask)
        call = asyncio.create_task(concluding, context=consumer.context.copy())
        return _Call(frame.time_ms, frame.is_after_cut, of_frame, call)

    async def _join_findings(
        self, consumer: "_Consumer", decoding: "_Decoding"
    ) -> Findings | TaskResult:
        """Join what a detector finds in the frames."""
        video, outcome = decoding.video, consumer.outcome
        appearances, tracker = Appearances(), None
        if decoding.sampling.track:
            from retinue_workers.video.tracker import ObjectTracker  # SciPy, which few need

            tracker = ObjectTracker()
        told_at = 0.0
        while (call := await consumer.next()) is not None:
            concluded = call.answer.result()
            self._on_progress()
            if time.monotonic() >= told_at + TELL_SECONDS:
                told_at = time.monotonic()
                log.info(
                    "video_progress",
                    uri=video.reference.uri,
                    detector=consumer.runner.name,
                    time_ms=call.time_ms,
                    duration_ms=video.record and video.record.duration_ms,
                )
            if not isinstance(concluded, Concluded):
                return concluded
            outcome.add(call.task, concluded.answer)
            match concluded.decision:
                case Fail(code, message, retryable):
                    raise InvalidImageError(
                        f"in the frame at {call.time_ms:,} ms: {message}",
                        code=code,
                        retryable=retryable,
                    )
                case Succeed(Findings(detections=found)):
                    if call.is_after_cut:
                        appearances.cut()
                        if tracker:
                            tracker.cut()
                    tracks = tracker.follow(found) if tracker else None
                    appearances.add(call.time_ms, found, tracks)
            if len(appearances) > self._max_appearances:
                raise InvalidImageError(
                    f"more than {self._max_appearances:,} appearances: sample fewer frames, or "
                    "raise the detector's threshold or RETINUE_MAX_VIDEO_DETECTIONS",
                    code="invalid_result",
                    retryable=True,
                )
        return Findings(
            appearances.finish(),
            {"frames": outcome.frames},
            outcome.model_version,
            outcome.billed_units,
        )


@dataclass(frozen=True, slots=True)
class _Call:
    """A detector's call for a frame."""

    time_ms: int
    is_after_cut: bool
    task: Task
    answer: "asyncio.Task[Concluded | TaskResult]"


class _Consumer:
    """A detector that receives the frames of a video.

    Attributes:
        task: Its task for the video.
        runner: Calls it.
        outcome: The sum of its answers.
        calls: Its calls, in the order of the frames; then ``None`` at the end, or an error.
        room: Number of further frames that may wait for it.
        context: The context of its task, for traces of its calls.
    """

    def __init__(self, task: Task, runner: DetectorRunner) -> None:
        self.task = task
        self.runner = runner
        self.outcome = _Outcome()
        self.calls: asyncio.Queue[_Call | Exception | None] = asyncio.Queue()
        self.room = asyncio.Semaphore(min(2 * runner.capacity, MAX_FRAMES_WAITING))
        self.context = copy_context()
        self._current: _Call | None = None

    async def next(self) -> _Call | None:
        """Return the call for the next frame when it has ended; ``None`` at the end.

        Raises:
            Exception: The rest can't be fetched or decoded.
        """
        call = await self.calls.get()
        if isinstance(call, Exception):
            raise call
        if call is not None:
            self._current = call
            await asyncio.wait({call.answer})
            self._current = None
            self.room.release()
        return call

    async def give_up(self) -> None:
        """Cancel calls whose answers aren't needed. A running call ends, and is billed."""
        waiting = [] if self._current is None else [self._current]
        while not self.calls.empty():
            call = self.calls.get_nowait()
            if isinstance(call, _Call):
                waiting.append(call)
        for call in waiting:
            call.answer.cancel()
        ended = await asyncio.gather(*(call.answer for call in waiting), return_exceptions=True)
        for call, concluded in zip(waiting, ended, strict=True):
            if isinstance(concluded, Concluded):
                self.outcome.add(call.task, concluded.answer)


class _Decoding:
    """One decoding of a video, for all detectors that sample it in the same way.

    Attributes:
        video: The video.
        sampling: The frames to decode.
        consumers: The detectors that still receive frames.
        began: Set when it no longer waits for other videos.
        running: The task that decodes.
    """

    running: "asyncio.Task[None]"

    def __init__(self, video: VideoObject, sampling: VideoSampling) -> None:
        self.video = video
        self.sampling = sampling
        self.consumers: list[_Consumer] = []
        self.began = asyncio.Event()

    def end(self, error: Exception | None) -> None:
        """Send the consumers the end of the frames, or an error."""
        for consumer in self.consumers:
            consumer.calls.put_nowait(error)
