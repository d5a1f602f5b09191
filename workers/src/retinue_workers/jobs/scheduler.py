"""Claim open jobs, and take each one step further: start it, look for its end, record its run."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar
from uuid import UUID, uuid4

import structlog
from retinue_history import (
    HistoryDataError,
    HistoryError,
    HistoryUnavailableError,
    ImageRecord,
    Jobs,
    OpenJob,
    RunKey,
    RunRecord,
    Slot,
    StaleJobError,
    VideoRecord,
)
from retinue_sdk import (
    ConfigurationError,
    DetectorError,
    Findings,
    ImageReference,
    Input,
    RetriableError,
    Video,
)

from retinue_workers.detectors.bill import billed_units, is_plausible
from retinue_workers.detectors.errors import InvalidAnswerError
from retinue_workers.detectors.filters import Filters
from retinue_workers.detectors.retry_policy import Answer, Fail, Pause, Succeed
from retinue_workers.detectors.run_record import RunRecorder
from retinue_workers.intake.s3 import ObjectStore
from retinue_workers.intake.video_header import read_video
from retinue_workers.jobs.next_step import Restart, Wait, next_step
from retinue_workers.jobs.runner import JobRunner
from retinue_workers.limits.budget import Budget
from retinue_workers.limits.ending import end_tasks
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.retry import retry_until_available
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.ops.metrics import Metrics
from retinue_workers.recording.committer import log_run
from retinue_workers.recording.observers import Observers, as_run
from retinue_workers.work import GONE, JOB_TAG, JobHint

log = structlog.get_logger(__name__)

STEPS = 4
"""Maximum number of jobs that a worker takes a step further at a time. A result is in memory."""

HAND_BACK_SECONDS = 0.5
"""Time allowed at shutdown to end the claims of jobs."""

MAX_ID_CHARACTERS = 1_024
"""Maximum length of a service's id of a job."""

KNOWN_VIDEOS = 1_000
"""Maximum number of videos whose header is remembered."""

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Intervals:
    """Times in seconds.

    Attributes:
        poll: Between two claims while nothing happens.
        first_look: Between the start of a job and the first look at it. Later looks are farther
            apart, by half of the job's age.
        look: The most between two looks at a job.
        retry: Before a job without a slot, or whose service didn't answer, is tried again.
        lease: How long a claim lasts unless it is renewed.
        result: Time limit for reading a result.
        overdue: After which a job that hasn't ended is reported.
    """

    poll: float = 5.0
    first_look: float = 5.0
    look: float = 60.0
    retry: float = 15.0
    lease: float = 120.0
    result: float = 1_800.0
    overdue: float = 86_400.0


@dataclass(slots=True)
class JobWork:
    """A job in work, in the form that runs are made from.

    Attributes:
        job: The job.
        runner: Its detector.
        reference: The object version.
        video: Facts of the video.
        billed_units: Units billed for failed jobs.
        has_taken_slot: Whether it took its slot in this step. Otherwise the service may have it.
    """

    job: OpenJob
    runner: JobRunner
    reference: ImageReference
    video: Video
    billed_units: Decimal = Decimal(0)
    has_taken_slot: bool = False

    @property
    def key(self) -> RunKey:
        """Return the run key."""
        return self.job.key

    @property
    def event_id(self) -> str:
        """Return the id of the event that requires the job."""
        return self.job.event_id

    @property
    def is_truncated(self) -> bool:
        """Return ``False``: services report no missing part."""
        return False


class JobScheduler:
    """Processes the open jobs of a worker's detectors.

    All workers share the jobs: each claims those that are due, and hands each back after a step.
    A worker that dies, or stops, loses nothing and uses up no receive.

    Args:
        runners: The detectors.
        jobs: The open jobs; ``None`` if there are no detectors of videos.
        threads: Run calls of the history.
        store: Reads the headers of videos.
        records: Creates the runs.
        filters: Filter findings.
        budget: Prices jobs.
        metrics: Count jobs.
        observers: Receive new runs.
        gate: Closed for ``history`` while a hint can't be recorded.
        timeout_seconds: Time limit of a call that starts a job.
        intervals: Times.

    Attributes:
        runners: The detectors.
    """

    def __init__(
        self,
        runners: Sequence[JobRunner],
        *,
        jobs: Jobs | None,
        threads: DaemonThreads,
        store: ObjectStore,
        records: RunRecorder,
        filters: Filters,
        budget: Budget,
        metrics: Metrics,
        observers: Observers,
        gate: ReceiveGate,
        timeout_seconds: float,
        intervals: Intervals | None = None,
    ) -> None:
        if runners and jobs is None:
            raise ConfigurationError("detectors of videos need the table of jobs")
        self.runners = runners
        self._runners = {runner.name: runner for runner in runners}
        self._jobs = jobs
        self._history_threads = threads
        self._threads = DaemonThreads("videos", STEPS)
        self._store = store
        self._records = records
        self._filters = filters
        self._budget = budget
        self._metrics = metrics
        self._observers = observers
        self._gate = gate
        self._timeout_seconds = timeout_seconds
        self._times = intervals or Intervals()
        self._holder = str(uuid4())
        self._slots: dict[str, int] = {}
        for runner in runners:
            known = self._slots.get(runner.job_group, runner.max_jobs)
            self._slots[runner.job_group] = min(known, runner.max_jobs)
        self._known: dict[UUID, Video] = {}
        self._overdue: set[RunKey] = set()
        self._woken = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._steps: set[asyncio.Task[None]] = set()
        self._interruptible: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def reasons(self) -> dict[str, str]:
        """Return the reasons why jobs wait, by detector. Thread-safe."""
        return {
            f"jobs of {name}": "; ".join(runner.reasons)
            for name, runner in self._runners.items()
            if runner.reasons
        }

    async def start(self) -> None:
        """Start the detectors, and process jobs.

        Raises:
            ConfigurationError: A detector can't start with its options.
        """
        for runner in self._runners.values():
            await runner.start()
        if self._runners:
            self._running = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Claim jobs now, because one may be due."""
        self._woken.set()

    async def hint(self, hint: JobHint) -> None:
        """Look at a job now, because its service sent a message about it.

        Waits while the database is unavailable.
        """
        if self._jobs is None:
            return
        references = [one for one in (hint.job_id, hint.token) if one is not None]
        is_known = await retry_until_available(
            partial(self._history_threads.run, self._jobs.hint, *references),
            unavailable=HistoryUnavailableError,
            event="history_unavailable",
            gate=self._gate,
            cause="history",
        )
        log.info("job_hinted", provider_job_id=hint.job_id, is_known=is_known)
        if is_known:
            self.wake()

    def stop(self) -> None:
        """Claim no more jobs, and hand back those in work.

        A job that is being started or recorded may finish that.
        """
        self._is_stopping = True
        if self._running is not None:
            self._running.cancel()
        for step in self._interruptible:
            step.cancel()

    async def close(self, deadline: float) -> None:
        """After ``stop``, wait for steps, hand the others back, and close the detectors.

        Args:
            deadline: Until when steps may take, on the monotonic clock in seconds.
        """
        if self._running is not None:
            await end_tasks({self._running}, HAND_BACK_SECONDS)
        await end_tasks(self._steps, max(0.0, deadline - time.monotonic()))
        await end_tasks(self._steps, HAND_BACK_SECONDS)
        await asyncio.gather(*(runner.close() for runner in self._runners.values()))
        self._threads.close()

    async def _run(self) -> None:
        """Claim jobs until cancelled."""
        while True:
            self._woken.clear()
            try:
                if await self._claim():
                    continue
            except Exception:  # a bug must not end the loop silently
                log.exception("job_claim_failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._times.poll):
                    await self._woken.wait()

    async def _claim(self) -> bool:
        """Claim jobs that are due, and begin a step of each. Return whether there were any."""
        ready = [runner for runner in self._runners.values() if await runner.is_ready()]
        claimed = 0
        for may_start in (True, False):
            asked = [one.configuration for one in ready if one.may_spend is may_start]
            slots = self._slots if may_start else dict.fromkeys(self._slots, 0)
            room = STEPS - len(self._steps)
            if asked and room:
                claim = partial(
                    self._ready_jobs.claim,
                    asked,
                    holder=self._holder,
                    lease_seconds=self._times.lease,
                    limit=room,
                    slots=slots,
                )
                for job in await self._claimed(claim):
                    claimed += 1
                    self._begin(job)
        return claimed > 0

    async def _claimed(self, claim: "partial[Sequence[OpenJob]]") -> Sequence[OpenJob]:
        """Return claimed jobs. If cancelled meanwhile, hand them back."""
        asking = asyncio.ensure_future(self._ask(claim))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            for job in await asking:
                await self._hand_back(job, 0.0, None)
            raise

    @property
    def _ready_jobs(self) -> Jobs:
        if self._jobs is None:
            raise AssertionError("without jobs there are no detectors")
        return self._jobs

    def _begin(self, job: OpenJob) -> None:
        step = asyncio.create_task(self._take(job))
        self._steps.add(step)
        step.add_done_callback(self._end_step)

    def _end_step(self, step: "asyncio.Task[None]") -> None:
        self._steps.discard(step)
        self._interruptible.discard(step)
        self.wake()

    async def _take(self, job: OpenJob) -> None:
        """Take a job one step further, and end its claim."""
        fields = {"detector": job.key.detector, "image_id": str(job.key.image_id)}
        renewing = asyncio.create_task(self._renew(job))
        self._interruptible.add(_current_task())
        try:
            if self._is_stopping:  # a task that is cancelled before it begins can't hand back
                _current_task().cancel()
            await self._step(job)
        except StaleJobError:
            log.warning("job_claim_lost", **fields)
        except asyncio.CancelledError:
            await self._hand_back(job, 0.0, None)
            raise
        except Exception as error:  # a bug; other jobs continue
            log.exception("job_step_failed", **fields)
            await self._hand_back(job, self._times.look, f"{type(error).__name__}; see the log")
        finally:
            renewing.cancel()

    async def _hand_back(self, job: OpenJob, seconds: float, problem: str | None) -> None:
        again = partial(self._ready_jobs.look_again, job, after_seconds=seconds, problem=problem)
        with suppress(HistoryError):
            await self._history_threads.run(again)

    async def _renew(self, job: OpenJob) -> None:
        """Extend the claim until cancelled, or until it is lost."""
        with suppress(HistoryError):
            while True:
                await asyncio.sleep(self._times.lease / 3)
                await self._ask(partial(self._ready_jobs.renew, job, self._times.lease))

    async def _step(self, job: OpenJob) -> None:
        runner = self._runners[job.key.detector]
        work = JobWork(job, runner, _reference(job), Video(_reference(job)), job.billed_units)
        began = datetime.now(UTC)
        value: object
        try:
            work.video = await self._video(work)
        except DetectorError as error:
            value = error
        else:
            value = await (self._start(work) if job.provider_job_id is None else self._look(work))
        if value is None:
            return
        if job.started_at is not None:
            began = job.started_at
        await self._apply(work, began, value)

    async def _video(self, work: JobWork) -> Video:
        """Return the facts of a job's video, from its header the first time.

        Raises:
            DetectorError: It can't be read, and the job isn't started.
        """
        job = work.job
        if (known := self._known.get(job.key.image_id)) is not None:
            return known
        if job.video is not None:
            return _recorded_video(work.reference, job.image, job.video)
        try:
            video = await self._threads.run(read_video, self._store, work.reference)
        except DetectorError:
            if job.provider_job_id is None:
                raise
            return replace(work.video, size_bytes=job.image.size_bytes)  # the service has it
        self._known[job.key.image_id] = video
        if len(self._known) > KNOWN_VIDEOS:
            del self._known[next(iter(self._known))]
        return video

    async def _start(self, work: JobWork) -> object:
        """Start a job if it gets a slot. Return the error, or ``None`` if its claim has ended."""
        job, runner = work.job, work.runner
        units = await self._call(runner, partial(_units, runner, work.video), self._timeout_seconds)
        if isinstance(units, BaseException):
            return units
        if not isinstance(units, Decimal) or not units.is_finite() or not is_plausible(units):
            return InvalidAnswerError(f"units returned {units!r}, not a Decimal")
        expected = self._budget.expected(runner.name, max(units, Decimal(0)))
        reserve = partial(
            self._ready_jobs.reserve_slot,
            job,
            slots=self._slots[job.job_group],
            budget_usd=runner.budget_usd,
            expected=expected,
        )
        match await self._ask(reserve):
            case Slot.NO_SLOT:
                reason = f"{self._slots[job.job_group]} jobs are under way"
                await self._look_again(job, self._times.retry, reason)
                return None
            case Slot.NO_BUDGET:
                reason = (
                    f"the budget of ${runner.budget_usd} a month doesn't allow another job, with "
                    "the jobs that are under way"
                )
                runner.pause_starts(self._times.look, reason)
                problem = f"{reason}: it would cost ${expected.price_usd:.4f}"
                await self._look_again(job, self._times.look, problem)
                return None
        runner.resume_starts()
        work.has_taken_slot = not job.has_slot
        with self._uninterrupted():
            tag = f"{JOB_TAG}{job.token}"
            call = partial(runner.detector.start_job, work.video, token=job.token, tag=tag)
            job_id = await self._call(runner, call, self._timeout_seconds)
            if isinstance(job_id, BaseException):
                return job_id
            if not isinstance(job_id, str) or not _is_id(job_id):
                return InvalidAnswerError(f"start_job returned {job_id!r:.100}, not a job's id")
            started = partial(
                self._ready_jobs.started, job, job_id, after_seconds=self._times.first_look
            )
            await self._ask(started)
        runner.resume()
        self._metrics.job_started(runner.name)
        log.info(
            "job_started",
            detector=runner.name,
            image_id=str(job.key.image_id),
            uri=work.reference.uri,
            provider_job_id=job_id,
            attempt=job.attempt,
            expected_usd=str(expected.price_usd),
        )
        return None

    async def _look(self, work: JobWork) -> object:
        """Return a job's findings or error. ``None`` if it is under way; its claim has ended."""
        job, runner = work.job, work.runner
        call = partial(runner.detector.job_result, job.provider_job_id or "", work.video)
        value = await self._call(runner, call, self._times.result)
        if value is None:
            runner.resume()
            self._note_overdue(work)
            seconds = min(self._times.look, max(self._times.first_look, _age_seconds(job) / 2))
            await self._look_again(job, seconds, None)
        elif isinstance(value, Findings) and self._filters:
            value = await self._threads.run(self._filters.apply, runner.name, work.reference, value)
        elif not isinstance(value, Findings | BaseException):
            kind = type(value).__name__
            value = InvalidAnswerError(f"job_result returned a {kind}, not Findings")
        return value

    async def _apply(self, work: JobWork, began: datetime, value: Any) -> None:
        """Act on findings or an error, by the table of ``next_step``."""
        job, runner = work.job, work.runner
        step = next_step(value, job.attempt)
        answer = Answer(value, began, (datetime.now(UTC) - began).total_seconds() * 1_000)
        match step:
            case Succeed(findings):
                runner.resume()
                await self._finish(
                    work,
                    self._records.success(work, answer, findings, runner.detector, Input.REFERENCE),
                )
            case Fail():
                work.billed_units += billed_units(value)
                await self._finish(work, self._records.failure(work, answer, step))
            case Restart(reason):
                _log_retry(work, reason)
                restart = partial(
                    self._ready_jobs.restart,
                    job,
                    after_seconds=self._times.retry,
                    problem=reason,
                    billed_units=billed_units(value),
                )
                await self._ask(restart)
            case Pause(after_seconds, reason):
                runner.pause(after_seconds, reason)
                billed = billed_units(value)
                await self._try_later(work, after_seconds, reason, billed, was_refused=True)
            case Wait(after_seconds, reason, was_refused):
                _log_retry(work, reason)
                self._metrics.retried(runner.name, was_refused)
                seconds = max(after_seconds, self._times.retry) * random.uniform(1.0, 1.5)  # noqa: S311
                billed = billed_units(value)
                await self._try_later(work, seconds, reason, billed, was_refused=was_refused)

    async def _try_later(
        self, work: JobWork, seconds: float, reason: str, billed: Decimal, *, was_refused: bool
    ) -> None:
        """End the claim. A job keeps its slot if its service may have it."""
        if work.has_taken_slot and was_refused:
            release = partial(
                self._ready_jobs.release,
                work.job,
                after_seconds=seconds,
                problem=reason,
                billed_units=billed,
            )
            await self._ask(release)
        else:
            await self._look_again(work.job, seconds, reason, billed)

    async def _look_again(
        self, job: OpenJob, seconds: float, problem: str | None, billed: Decimal = Decimal(0)
    ) -> None:
        again = partial(
            self._ready_jobs.look_again,
            job,
            after_seconds=seconds,
            problem=problem,
            billed_units=billed,
        )
        await self._ask(again)

    async def _finish(self, work: JobWork, run: RunRecord) -> None:
        """Replace a job by its run."""
        with self._uninterrupted():
            try:
                run_id = await self._record(work, run)
            except HistoryDataError as error:  # the database can't hold one of its values
                log.error("commit_rejected", detector=work.runner.name, reason=str(error))
                fail = Fail("invalid_result", str(error), retryable=True)
                work.billed_units = run.billed_units
                answer = Answer(error, run.started_at, run.duration_ms)
                run = self._records.failure(work, answer, fail)
                run_id = await self._record(work, run)
            if run_id is None:
                log.info("job_dropped", image_id=str(work.key.image_id), detector=work.runner.name)
                return
            self._metrics.committed([run])
            self._metrics.job_ended(work.runner.name, was_hinted=work.job.hinted_at is not None)
            log_run(log, run_id, run, work.reference, attempt=work.job.attempt)
            if self._observers.has_observers:
                observed = await self._threads.run(as_run, run, work.reference)
                await self._observers.put(observed)

    async def _record(self, work: JobWork, run: RunRecord) -> int | None:
        video = work.video
        facts = VideoRecord(
            work.key.image_id,
            video.duration_ms,
            video.frame_rate,
            video.codec,
            video.container,
            video.rotation_degrees,
        )
        finish = partial(
            self._ready_jobs.finish,
            work.job,
            run,
            image=_learned(work, run),
            video=facts if video.container is not None else None,
        )
        try:
            return await self._ask(finish)
        finally:
            self._budget.record([run])

    def _note_overdue(self, work: JobWork) -> None:
        age = _age_seconds(work.job)
        is_overdue = age > self._times.overdue
        self._metrics.job_looked_at(work.runner.name, is_overdue=is_overdue)
        if is_overdue and work.key not in self._overdue:
            self._overdue.add(work.key)
            log.error(
                "job_overdue",
                detector=work.runner.name,
                image_id=str(work.key.image_id),
                provider_job_id=work.job.provider_job_id,
                hours=round(age / 3_600),
            )

    async def _call(
        self,
        runner: JobRunner,
        call: Callable[[], Coroutine[Any, Any, object]],
        timeout_seconds: float,
    ) -> object:
        """Return a plugin's answer, or its error as a value."""
        task = asyncio.current_task()
        cancelled_before = task.cancelling() if task else 0
        limit = asyncio.timeout(timeout_seconds)
        try:
            async with limit:
                return await call()
        except BaseException as error:
            is_cancelled = task is None or task.cancelling() > cancelled_before
            if isinstance(error, asyncio.CancelledError) and is_cancelled:
                raise  # otherwise it is the plugin's own
            if isinstance(error, TimeoutError) and limit.expired():
                return RetriableError(f"no answer within {timeout_seconds:g} s")
            if not isinstance(error, DetectorError | ConfigurationError):
                log.error("detector_raised", detector=runner.name, exc_info=error)
            return error

    async def _ask(self, question: "partial[ResultT]") -> ResultT:
        """Ask the history. Wait while the database is unavailable.

        Raises:
            StaleJobError: The claim is lost.
            HistoryError: The history can't store a value.
        """
        return await retry_until_available(
            partial(self._history_threads.run, question),
            unavailable=HistoryUnavailableError,
            event="history_unavailable",
        )

    @contextmanager
    def _uninterrupted(self) -> Iterator[None]:
        """Let ``stop`` wait for the current step inside the block."""
        task = _current_task()
        self._interruptible.discard(task)
        try:
            yield
        finally:
            self._interruptible.add(task)


def _current_task() -> "asyncio.Task[None]":
    task: asyncio.Task[None] | None = asyncio.current_task()
    if task is None:
        raise AssertionError("a step runs in a task")
    return task


async def _units(runner: JobRunner, video: Video) -> object:
    return runner.detector.units(video)


def _age_seconds(job: OpenJob) -> float:
    return (datetime.now(UTC) - job.started_at).total_seconds() if job.started_at else 0.0


def _is_id(job_id: str) -> bool:
    return 0 < len(job_id) <= MAX_ID_CHARACTERS and job_id.isprintable()


def _reference(job: OpenJob) -> ImageReference:
    image = job.image
    version_id = image.version if image.versioned else None
    return ImageReference(image.bucket, image.key, version_id, image.etag or image.version)


def _recorded_video(reference: ImageReference, image: ImageRecord, facts: VideoRecord) -> Video:
    return Video(
        reference,
        image.size_bytes,
        facts.duration_ms,
        facts.frame_rate,
        facts.codec,
        facts.container,
        image.width_px,
        image.height_px,
        facts.rotation_degrees,
    )


def _learned(work: JobWork, run: RunRecord) -> ImageRecord:
    """Return the image's record, updated with facts of the video and of the run."""
    image, video = work.job.image, work.video
    if video.width_px is not None and video.height_px is not None:
        image = replace(image, width_px=video.width_px, height_px=video.height_px)
    if image.size_bytes is None and video.size_bytes is not None:
        image = replace(image, size_bytes=video.size_bytes)
    if run.error_code in GONE:
        image = replace(image, missing_since=max(run.started_at, image.uploaded_at))
    return image


def _log_retry(work: JobWork, reason: str) -> None:
    log.warning(
        "job_retried",
        detector=work.runner.name,
        image_id=str(work.key.image_id),
        provider_job_id=work.job.provider_job_id,
        attempt=work.job.attempt,
        reason=reason,
    )
