"""A service that processes videos in jobs, in memory, with faults on demand."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any, ClassVar

from retinue_sdk import (
    AnyDetector,
    Capabilities,
    Detection,
    DetectorOptions,
    Findings,
    Input,
    InvalidImageError,
    JobDetector,
    JobLostError,
    RetriableError,
    Video,
    hookimpl,
)

MOST_JOBS = 20
"""How many jobs may be under way, as at Rekognition."""


@dataclass
class Job:
    """A job of the service.

    Attributes:
        job_id: Its id.
        key: The video's key.
        tag: The tag that was sent.
        has_ended: Whether its result can be read.
        looks: How often its result was asked for.
    """

    job_id: str
    key: str
    tag: str
    has_ended: bool = False
    looks: int = 0


@dataclass
class VideoService:
    """Starts one job for a token, and at most ``MOST_JOBS`` at a time.

    Attributes:
        jobs: All jobs ever started, by token. Each is billed once.
        most: The most jobs that were under way at a time.
        refused: How often a job was refused, because too many were under way.
        ends_after: After how many looks a job ends; ``None``: when the test says so.
        answer: Makes the result of a job for a video.
        before: Awaited before each call, with ``start`` or ``result`` and the video's key; may
            raise or wait.
        after: The same after the call took effect, before its answer arrives.
    """

    jobs: dict[str, Job] = field(default_factory=dict)
    most: int = 0
    refused: int = 0
    ends_after: int | None = 1
    answer: Callable[[Video], Any] = lambda video: Findings(
        (Detection("label", "Dog", 0.9, start_ms=0, end_ms=video.duration_ms or 0, track=1),),
        billed_units=Decimal(1),
    )
    before: Callable[[str, str], Awaitable[None]] | None = None
    after: Callable[[str, str], Awaitable[None]] | None = None
    _numbers: Any = field(default_factory=lambda: count(1))

    @property
    def under_way(self) -> list[Job]:
        """Return the jobs that haven't ended."""
        return [job for job in self.jobs.values() if not job.has_ended]

    def end(self) -> None:
        """End all jobs."""
        for job in self.jobs.values():
            job.has_ended = True

    def started(self, key: str) -> int:
        """Return how many jobs were started for a video."""
        return sum(job.key == key for job in self.jobs.values())

    async def start(self, key: str, token: str, tag: str) -> str:
        """Start a job, or return the one of the token."""
        if self.before is not None:
            await self.before("start", key)
        await asyncio.sleep(0)
        if token not in self.jobs:
            if len(self.under_way) >= MOST_JOBS:
                self.refused += 1
                raise RetriableError("LimitExceeded: 20 jobs are under way", throttled=True)
            self.jobs[token] = Job(f"job-{next(self._numbers)}", key, tag)
            self.most = max(self.most, len(self.under_way))
        if self.after is not None:
            await self.after("start", key)
        return self.jobs[token].job_id

    async def result(self, job_id: str, video: Video) -> Any:
        """Return the result of a job; ``None`` while it is under way."""
        if self.before is not None:
            await self.before("result", video.reference.key)
        await asyncio.sleep(0)
        job = next((job for job in self.jobs.values() if job.job_id == job_id), None)
        if job is None:
            raise JobLostError(f"there is no job {job_id}")
        job.looks += 1
        if self.ends_after is not None and job.looks > self.ends_after:
            job.has_ended = True
        if self.after is not None:
            await self.after("result", video.reference.key)
        return self.answer(video) if job.has_ended else None

    def forget(self) -> None:
        """Forget all jobs, as a service does after a week. Their tokens are unknown, too."""
        self.jobs = {f"forgotten-{token}": job for token, job in self.jobs.items()}
        for job in self.jobs.values():
            job.has_ended, job.job_id = True, f"forgotten-{job.job_id}"


class VideoLabels(JobDetector[DetectorOptions]):
    """Labels videos by the service, for ten cents a minute.

    Attributes:
        service: The service of all instances; set by a fixture.
    """

    name: ClassVar[str] = "video-labels"
    version: ClassVar[str] = "1"
    service: ClassVar[VideoService] = VideoService()
    capabilities = Capabilities(
        Input.REFERENCE, usd_per_unit=Decimal("0.10"), max_jobs=18, job_group="videos"
    )

    def __init__(self, options: DetectorOptions | None = None) -> None:
        super().__init__(options or DetectorOptions())

    def units(self, video: Video) -> Decimal:
        if video.codec not in (None, "h264"):
            raise InvalidImageError(f"the codec is {video.codec}", code="unsupported_codec")
        return Decimal(video.duration_ms or 21_600_000) / 60_000

    async def start_job(self, video: Video, *, token: str, tag: str) -> str:
        return await self.service.start(video.reference.key, token, tag)

    async def job_result(self, job_id: str, video: Video) -> Findings | None:
        return await self.service.result(job_id, video)  # type: ignore[no-any-return]


class VideoFaces(VideoLabels):
    """A second detector of the same service, whose jobs count as the first one's."""

    name: ClassVar[str] = "video-faces"


@hookimpl
def retinue_register_detectors(register: Callable[[type[AnyDetector]], None]) -> None:
    register(VideoLabels)
    register(VideoFaces)
