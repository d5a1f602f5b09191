"""Checks of a ``JobDetector``, as a test class for pytest."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar

from retinue_sdk.detection import Findings
from retinue_sdk.detector import Input, JobDetector
from retinue_sdk.errors import JobLostError
from retinue_sdk.json_value import Json
from retinue_sdk.testing.bench import CheckFailedError
from retinue_sdk.video import Video

T = TypeVar("T")

TOKENS = ("a" * 43, "b" * 43)
"""Tokens of the length that the worker's have."""


@dataclass(frozen=True, slots=True)
class JobSubject:
    """A detector of videos under test, and its service.

    Attributes:
        detector: The class.
        video: A video that the service can process.
        end_jobs: Makes all jobs end successfully.
        forget_jobs: Makes the service forget all jobs.
        options: The options, as in ``RETINUE_DETECTORS``.
        timeout_seconds: Time limit of a call.
    """

    detector: type[JobDetector[Any]]
    video: Video
    end_jobs: Callable[[], object]
    forget_jobs: Callable[[], object]
    options: Mapping[str, Json] = field(default_factory=dict)
    timeout_seconds: float = 60.0

    def make(self) -> JobDetector[Any]:
        """Return a new instance."""
        return self.detector(self.detector.options_model.model_validate(self.options))

    @asynccontextmanager
    async def started(self) -> AsyncIterator[JobDetector[Any]]:
        """Yield an instance that is started, as each worker has one."""
        detector = self.make()
        await self.within(detector.start())
        try:
            yield detector
        finally:
            await self.within(detector.close())

    async def start_job(self, detector: JobDetector[Any], token: str = TOKENS[0]) -> str:
        """Start a job, as the worker does."""
        call = detector.start_job(self.video, token=token, tag=f"retinue/{token}")
        return await self.within(call)

    async def within(self, call: Coroutine[Any, Any, T]) -> T:
        """Return a call's result, within the time limit."""
        async with asyncio.timeout(self.timeout_seconds):
            return await call


class BaseJobs:
    """The requirements of subclasses of ``JobDetector``.

    Subclass it, and define a fixture ``job_subject``, which returns a ``JobSubject``.
    """

    def test_capabilities_name_the_limit(self, job_subject: JobSubject) -> None:
        """Declares Input.REFERENCE, and the group in which its jobs are counted."""
        declared = job_subject.make().capabilities
        _expect(declared.input is Input.REFERENCE, "declare Input.REFERENCE: the service reads S3")
        _expect(declared.job_group != "", "declare job_group, the name under which jobs count")

    def test_units_are_known_before(self, job_subject: JobSubject) -> None:
        """Returns the units of a video before, and the most if its duration is unknown."""
        detector, video = job_subject.make(), job_subject.video
        units: Any = detector.units(video)
        most: Any = detector.units(replace(video, duration_ms=None))
        _expect(
            all(isinstance(one, Decimal) and one.is_finite() and one >= 0 for one in (units, most)),
            f"units must be a Decimal, 0 or more, not {units!r} and {most!r}",
        )
        _expect(most >= units, f"{most} units for an unknown duration are fewer than {units}")

    def test_token_finds_its_job(self, job_subject: JobSubject) -> None:
        """Returns the same job for the same token, also in another worker."""

        async def check() -> None:
            async with job_subject.started() as one, job_subject.started() as other:
                job_id = await job_subject.start_job(one)
                _expect(bool(job_id), f"no id of a job: {job_id!r}")
                again = {await job_subject.start_job(worker) for worker in (one, other)}
                _expect(again == {job_id}, f"a token started {job_id!r}, then {again!r}")
                new = await job_subject.start_job(other, TOKENS[1])
                _expect(new != job_id, f"another token returned the same job, {job_id!r}")
                job_subject.end_jobs()
                ended = await job_subject.start_job(other)
                _expect(ended == job_id, f"after the job's end, its token started {ended!r}")

        asyncio.run(check())

    def test_result_comes_at_the_end(self, job_subject: JobSubject) -> None:
        """Returns None while the job is under way, and then its result, to every worker."""

        async def check() -> None:
            video = job_subject.video
            async with job_subject.started() as one, job_subject.started() as other:
                job_id = await job_subject.start_job(one)
                early = await job_subject.within(other.job_result(job_id, video))
                _expect(early is None, f"the job is under way, and its result is {early!r}")
                job_subject.end_jobs()
                results = [
                    await job_subject.within(worker.job_result(job_id, video))
                    for worker in (one, other)
                ]
            found = [result for result in results if isinstance(result, Findings)]
            _expect(len(found) == 2, f"the results of a job that has ended are {results!r}")
            _expect(found[0].detections == found[1].detections, "two workers read other detections")
            _expect_times(found[0], video)

        asyncio.run(check())

    def test_forgotten_job_is_lost(self, job_subject: JobSubject) -> None:
        """Raises JobLostError for a job that the service no longer has."""

        async def check() -> None:
            async with job_subject.started() as detector:
                job_id = await job_subject.start_job(detector)
                job_subject.forget_jobs()
                try:
                    result = await job_subject.within(
                        detector.job_result(job_id, job_subject.video)
                    )
                except JobLostError:
                    return
                raise CheckFailedError(f"raise JobLostError for a forgotten job, not {result!r}")

        asyncio.run(check())

    def test_cancellation_ends_a_call(self, job_subject: JobSubject) -> None:
        """Ends a cancelled call immediately, and finds the job by its token afterwards."""

        async def check() -> None:
            async with job_subject.started() as detector:
                for turns in range(6):
                    await _cancel(job_subject.start_job(detector), turns)
                job_id = await job_subject.start_job(detector)
                for turns in range(6):
                    await _cancel(detector.job_result(job_id, job_subject.video), turns)
                job_subject.end_jobs()
                result = await job_subject.within(detector.job_result(job_id, job_subject.video))
                _expect(isinstance(result, Findings), f"after cancelled calls: {result!r}")

        asyncio.run(check())

    def test_restart(self, job_subject: JobSubject) -> None:
        """Accepts close() at any time, and works after another start()."""

        async def check() -> None:
            detector = job_subject.make()
            await job_subject.within(detector.close())
            for _ in range(2):
                await job_subject.within(detector.start())
                await job_subject.start_job(detector)
                await job_subject.within(detector.close())
                await job_subject.within(detector.close())

        asyncio.run(check())


async def _cancel(call: Coroutine[Any, Any, object], turns: int) -> None:
    """Cancel a call after some turns of the event loop, unless it ends before."""
    task = asyncio.ensure_future(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=5)
    _expect(bool(done), "a cancelled call still runs after 5 seconds")
    if not task.cancelled() and (error := task.exception()) is not None:
        raise CheckFailedError(f"a cancelled call raised {error!r}") from error


def _expect_times(findings: Findings, video: Video) -> None:
    """Check that each appearance is within the video, and that the bill is a number."""
    for one in findings.detections:
        if one.start_ms is None or one.end_ms is None:
            raise CheckFailedError(f"a detection has no time: {one!r}")
        late = video.duration_ms is not None and one.end_ms > video.duration_ms
        _expect(not late, f"a detection ends after the video: {one!r}")
    _expect(findings.billed_units >= 0, f"billed units are {findings.billed_units}")


def _expect(is_met: bool, message: str) -> None:
    if not is_met:
        raise CheckFailedError(message)
