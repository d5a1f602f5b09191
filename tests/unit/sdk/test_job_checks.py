"""The checks of jobs pass a correct detector, and each fails the one that breaks its promise."""

import asyncio
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from retinue_sdk import (
    Capabilities,
    Detection,
    DetectorOptions,
    Findings,
    ImageReference,
    Input,
    JobDetector,
    JobLostError,
    RetriableError,
    Video,
)
from retinue_sdk.testing import BaseJobs, CheckFailedError, JobSubject

VIDEO = Video(ImageReference("bucket", "clip.mp4", etag="e"), duration_ms=2_000)


class Service:
    """Jobs by token, for one test."""

    jobs: ClassVar[dict[str, str]] = {}
    has_ended: ClassVar[bool] = False

    @classmethod
    def end(cls) -> None:
        cls.has_ended = True

    @classmethod
    def forget(cls) -> None:
        cls.jobs.clear()


class Good(JobDetector[DetectorOptions]):
    """Keeps every promise."""

    name: ClassVar[str] = "good"
    version: ClassVar[str] = "1"
    capabilities = Capabilities(input=Input.REFERENCE, job_group="jobs")

    def units(self, video: Video) -> Decimal:
        return Decimal(10_000 if video.duration_ms is None else video.duration_ms)

    async def start_job(self, video: Video, *, token: str, tag: str) -> str:
        await asyncio.sleep(0)
        return Service.jobs.setdefault(token, f"job {len(Service.jobs)}")

    async def job_result(self, job_id: str, video: Video) -> Findings | None:
        await asyncio.sleep(0)
        if job_id not in Service.jobs.values():
            raise JobLostError(job_id)
        return self.answer() if Service.has_ended else None

    def answer(self) -> Findings:
        return Findings((Detection("label", "Dog", 0.5, start_ms=0, end_ms=2_000),))


class Unlimited(Good):
    capabilities = Capabilities(input=Input.REFERENCE)


class Cheap(Good):
    def units(self, video: Video) -> Decimal:
        return Decimal(video.duration_ms or 0)


class Forgetful(Good):
    async def start_job(self, video: Video, *, token: str, tag: str) -> str:
        return await super().start_job(video, token=token + str(len(Service.jobs)), tag=tag)


class Hasty(Good):
    async def job_result(self, job_id: str, video: Video) -> Findings | None:
        return self.answer()


class Timeless(Good):
    def answer(self) -> Findings:
        return Findings((Detection("label", "Dog", 0.5),))


class Late(Good):
    def answer(self) -> Findings:
        return Findings((Detection("label", "Dog", 0.5, start_ms=0, end_ms=2_001),))


class Hopeful(Good):
    async def job_result(self, job_id: str, video: Video) -> Findings | None:
        try:
            return await super().job_result(job_id, video)
        except JobLostError as error:
            raise RetriableError(str(error)) from error


class Stubborn(Good):
    async def start_job(self, video: Video, *, token: str, tag: str) -> str:
        try:
            return await super().start_job(video, token=token, tag=tag)
        except asyncio.CancelledError as error:
            raise RetriableError("cancelled") from error


class Fragile(Good):
    is_open = False

    async def start(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        if not self.is_open:
            raise RuntimeError("closed twice")
        self.is_open = False


CHECKS = [name for name in vars(BaseJobs) if name.startswith("test_")]


def check(kind: type[JobDetector[Any]], name: str) -> None:
    Service.jobs.clear()
    Service.has_ended = False
    subject = JobSubject(kind, VIDEO, end_jobs=Service.end, forget_jobs=Service.forget)
    getattr(BaseJobs(), name)(subject)


@pytest.mark.parametrize("name", CHECKS)
def test_a_correct_detector_passes(name: str) -> None:
    check(Good, name)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Unlimited, "test_capabilities_name_the_limit"),
        (Cheap, "test_units_are_known_before"),
        (Forgetful, "test_token_finds_its_job"),
        (Hasty, "test_result_comes_at_the_end"),
        (Timeless, "test_result_comes_at_the_end"),
        (Late, "test_result_comes_at_the_end"),
        (Hopeful, "test_forgotten_job_is_lost"),
        (Stubborn, "test_cancellation_ends_a_call"),
        (Fragile, "test_restart"),
    ],
)
def test_a_broken_promise_is_found(kind: type[JobDetector[Any]], name: str) -> None:
    with pytest.raises((CheckFailedError, RetriableError, RuntimeError)):
        check(kind, name)
