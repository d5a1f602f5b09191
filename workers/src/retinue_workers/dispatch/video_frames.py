"""Process a video with a detector of images: fetch, decode, detect in frames, join."""

import asyncio
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO

import structlog
from retinue_sdk import AsyncDetector, Findings, Image, ImageLimits, InvalidImageError

from retinue_workers.detectors.bill import billed_units
from retinue_workers.detectors.retry_policy import Answer, Fail, Succeed
from retinue_workers.detectors.runner import DetectorRunner
from retinue_workers.dispatch.attempts import Attempts, Concluded
from retinue_workers.intake.s3 import ObjectStore
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.settings.video import VideoSampling
from retinue_workers.video.appearances import Appearances
from retinue_workers.video.objects import VideoObject
from retinue_workers.video.reader import VideoDecoder, VideoFrame, VideoReader
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

    async def detect(
        self, task: Task, video: VideoObject, runner: DetectorRunner
    ) -> Answer | TaskResult:
        """Return the detector's answer for a whole video: appearances instead of detections."""
        sampling = runner.video or VideoSampling()
        outcome = _Outcome()
        result: Findings | Exception | TaskResult
        try:
            async with self._room, asyncio.timeout(MAX_SECONDS):
                with tempfile.NamedTemporaryFile(prefix="retinue-video-") as file:
                    await self._threads.run(self._fetch, video, file)
                    reader = await self._threads.run(self._decoder.open, Path(file.name), sampling)
                    try:
                        video.learn(reader.facts)
                        result = await self._frames(task, video, runner, sampling, reader, outcome)
                    finally:
                        reader.close()
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

    async def _frames(
        self,
        task: Task,
        video: VideoObject,
        runner: DetectorRunner,
        sampling: VideoSampling,
        reader: VideoReader,
        outcome: _Outcome,
    ) -> Findings | TaskResult:
        """Pass all frames to the detector, in batches, and join its findings."""
        appearances, tracker = Appearances(), None
        if sampling.track:
            from retinue_workers.video.tracker import ObjectTracker  # SciPy, which few need

            tracker = ObjectTracker()
        waiting: deque[_Waiting] = deque()
        room = _room(runner)
        is_over = False
        told_at = 0.0
        try:
            while True:
                while len(waiting) < room and not is_over:
                    frame = await self._threads.run(reader.read)
                    if frame is None:
                        is_over = True
                    else:
                        waiting.append(self._start(task, video, runner, frame))
                if not waiting:
                    break
                first = waiting[0]
                await asyncio.wait({first.call})
                waiting.popleft()
                concluded = first.call.result()
                self._on_progress()
                if time.monotonic() >= told_at + TELL_SECONDS:
                    told_at = time.monotonic()
                    log.info(
                        "video_progress",
                        uri=video.reference.uri,
                        detector=runner.name,
                        time_ms=first.time_ms,
                        duration_ms=reader.facts["duration_ms"],
                    )
                if not isinstance(concluded, Concluded):
                    return concluded
                outcome.add(first.task, concluded.answer)
                match concluded.decision:
                    case Fail(code, message, retryable):
                        raise InvalidImageError(
                            f"in the frame at {first.time_ms:,} ms: {message}",
                            code=code,
                            retryable=retryable,
                        )
                    case Succeed(findings):
                        found = findings.detections
                        tracks = tracker.follow(found) if tracker else None
                        appearances.add(first.time_ms, found, tracks)
                if len(appearances) > self._max_appearances:
                    raise InvalidImageError(
                        f"more than {self._max_appearances:,} appearances: sample fewer frames, or "
                        "raise the detector's threshold or RETINUE_MAX_VIDEO_DETECTIONS",
                        code="invalid_result",
                        retryable=True,
                    )
        finally:
            await _give_up(waiting, outcome)
        if reader.is_truncated:
            video.mark_truncated()
        return Findings(
            appearances.finish(),
            {"frames": outcome.frames},
            outcome.model_version,
            outcome.billed_units,
        )

    def _start(
        self, task: Task, video: VideoObject, runner: DetectorRunner, frame: VideoFrame
    ) -> "_Waiting":
        """Start the detector's call for a frame."""
        image = Image.from_pixels(frame.pixels, video.reference)
        of_frame = Task(task.message, task.event, image, task.key, task.is_last_receive)

        async def ask() -> Answer:
            answer = await runner.detect(of_frame)
            if isinstance(answer.value, BaseException):
                of_frame.billed_units += billed_units(answer.value)
            return answer

        call = asyncio.create_task(self._attempts.conclude(of_frame, runner, ask))
        return _Waiting(frame.time_ms, of_frame, call)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A frame that waits for its detector's answer."""

    time_ms: int
    task: Task
    call: "asyncio.Task[Concluded | TaskResult]"


async def _give_up(waiting: Sequence[_Waiting], outcome: _Outcome) -> None:
    """Cancel calls whose answers aren't needed. A running call ends, and is billed."""
    for one in waiting:
        one.call.cancel()
    ended = await asyncio.gather(*(one.call for one in waiting), return_exceptions=True)
    for one, concluded in zip(waiting, ended, strict=True):
        if isinstance(concluded, Concluded):
            outcome.add(one.task, concluded.answer)


def _room(runner: DetectorRunner) -> int:
    """Return the number of frames that may wait for a detector: two full batches for each call."""
    capabilities = runner.detector.capabilities
    is_async = isinstance(runner.detector, AsyncDetector)
    batch_size = 1 if is_async else capabilities.max_batch_size
    return min(2 * batch_size * capabilities.max_concurrency, MAX_FRAMES_WAITING)
