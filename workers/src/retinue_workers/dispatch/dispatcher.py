"""The main path: handle one message from its text to its deletion."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import structlog
from retinue_history import (
    DetectorConfiguration,
    HistoryError,
    ImageRecord,
    JobRecord,
    RunKey,
    RunRecord,
    VideoRecord,
)
from retinue_sdk import Image, ImageReference, Media, media_of

from retinue_workers.detectors.bill import billed_units
from retinue_workers.detectors.retry_policy import Answer, Fail, Succeed
from retinue_workers.detectors.run_record import RunRecorder
from retinue_workers.detectors.runner import DetectorRunner
from retinue_workers.dispatch.attempts import STOPPING, Attempts, Concluded
from retinue_workers.dispatch.routing.decide import Skip
from retinue_workers.dispatch.routing.router import Earlier, Peers, Router
from retinue_workers.intake.inbox import Inbox, Lease
from retinue_workers.intake.prefetch import Hold, Prefetch
from retinue_workers.intake.s3 import ObjectStore
from retinue_workers.intake.s3_event import MalformedEventError, ParsedBody, parse
from retinue_workers.jobs.runner import JobRunner
from retinue_workers.jobs.scheduler import JobScheduler
from retinue_workers.limits.backoff import requeue_seconds
from retinue_workers.limits.budget import Budget
from retinue_workers.recording.committer import Committer
from retinue_workers.recording.lookup import Lookup, Wanted
from retinue_workers.video.objects import VideoObject
from retinue_workers.work import (
    GONE,
    Delivery,
    ImageEvent,
    Message,
    ObjectEvent,
    RemovalEvent,
    Requeue,
    Task,
    TaskResult,
)

if TYPE_CHECKING:
    from retinue_workers.dispatch.video_frames import VideoFrames

log = structlog.get_logger(__name__)

RECEIVES_WITHOUT_REDRIVE = 5
"""The receive at which a failure is recorded if the queue has no dead-letter queue."""

MAX_IGNORED = 20
"""Maximum number of kinds of ignored events that are logged, each once."""


@dataclass(slots=True)
class _ImageWork:
    """The work for one image of a message.

    Attributes:
        record: The image's record in the history.
        image: The image, shared by its tasks.
        tasks: The tasks that aren't done.
        earlier: Earlier findings of detectors without a task, if routes need them.
    """

    record: ImageRecord
    image: Image
    tasks: Sequence[Task]
    earlier: Earlier = field(default_factory=dict)


class Dispatcher:
    """Handles messages. Each step of ``handle`` is a step of docs/architecture.md.

    Stopping is cancellation: ``cancel_waiting`` ends every wait, while running calls of detectors
    may finish and their results are committed. The second ``cancel_waiting`` ends those calls, too.

    Args:
        inbox: Leases messages.
        lookup: Looks up finished run keys.
        router: Decides which images a detector with a route receives.
        runners: The detectors of images.
        jobs: Has the detectors of videos, processes their jobs, and receives hints.
        records: Creates the runs.
        committer: Commits them.
        store: Reads images.
        prefetch: Loads images.
        budget: Releases the amounts that calls reserved.
        attempts: Calls detectors again after an error.
        frames: Processes videos with detectors of images; ``None`` if none takes videos.
        video_records: Creates the runs of videos; by default with the limits of images.
        max_receive_count: Of the queue's redrive policy; ``None`` if it has none.
    """

    def __init__(
        self,
        *,
        inbox: Inbox,
        lookup: Lookup,
        router: Router,
        runners: Sequence[DetectorRunner],
        jobs: JobScheduler,
        records: RunRecorder,
        committer: Committer,
        store: ObjectStore,
        prefetch: Prefetch,
        budget: Budget,
        attempts: Attempts,
        max_receive_count: int | None,
        frames: "VideoFrames | None" = None,
        video_records: RunRecorder | None = None,
    ) -> None:
        self._inbox = inbox
        self._lookup = lookup
        self._router = router
        takers: list[DetectorRunner | JobRunner] = [*runners, *jobs.runners]
        self._runners = {runner.name: runner for runner in takers}
        self._takers_of_images = _takers(takers, Media.IMAGE)
        self._takers_of_videos = _takers(takers, Media.VIDEO)
        self._jobs = jobs
        self._records = records
        self._committer = committer
        self._store = store
        self._prefetch = prefetch
        self._budget = budget
        self._attempts = attempts
        self._frames = frames
        self._video_records = video_records or records
        self._max_receive_count = max_receive_count or RECEIVES_WITHOUT_REDRIVE
        self._cancellable: set[asyncio.Task[object]] = set()
        self._is_stopping = False
        self._ignored: set[str] = set()

    async def handle(self, message: Message) -> None:
        """Process one message: events, tasks, results, commit, delete."""
        async with self._inbox.lease(message) as lease:
            try:
                delivery = await self._detect(message, self._parse(message))
            except HistoryError as error:  # of the lookup, or the hint
                await self._reject(message, lease, error)
                return
            try:
                await self._committer.commit(delivery)
            except Exception as error:  # noqa: BLE001 - logged, with its traceback if it is a bug
                await self._reject(message, lease, error)
                return
            if delivery.jobs:
                self._jobs.wake()
            if delivery.requeue_after_seconds is None:
                await lease.delete()
            else:
                await lease.requeue(delivery.requeue_after_seconds)

    async def _detect(self, message: Message, events: ParsedBody) -> Delivery:
        """Return the results of all detectors for all images, for the commit."""
        if self._is_stopping:
            raise asyncio.CancelledError
        current = asyncio.current_task()
        if current is None:
            raise AssertionError("handle runs in a task")
        results: Sequence[Sequence[TaskResult]] | None = None
        self._cancellable.add(current)
        try:
            if events.hint is not None:
                await self._jobs.hint(events.hint)
            images = await self._plan(message, events.events)
            if len(images) == 1 and len(images[0].tasks) == 1:  # most messages
                results = [[await self._run_here(images[0])]]
        finally:
            self._cancellable.discard(current)
        if results is None:
            runs = [self._start(work) for work in images]
            if started := [run for its in runs for run in its]:
                await asyncio.wait(started)
            results = [[_result(run) for run in its] for its in runs]
        return _delivery(message, events, images, results)

    def cancel_waiting(self) -> None:
        """Cancel every wait. The second call also cancels running calls of detectors."""
        self._is_stopping = True
        for task in self._cancellable:
            task.cancel()

    def _parse(self, message: Message) -> ParsedBody:
        """Return the events of a message. Log the parts that can't be parsed."""
        try:
            events = parse(message.body)
        except MalformedEventError as error:
            events = ParsedBody(problems=(str(error),))
        for reason in events.ignored - self._ignored:
            if len(self._ignored) < MAX_IGNORED:
                self._ignored.add(reason)
                log.warning("event_ignored", message_id=message.message_id, reason=reason)
        for problem in events.problems:
            log.error(
                "malformed_message",
                message_id=message.message_id,
                receive_count=message.receive_count,
                problem=problem,
                next=self._next(message),
            )
        return events

    async def _reject(self, message: Message, lease: Lease, error: Exception) -> None:
        """Requeue a message that the history rejects, and log the reason."""
        log.error(
            "commit_rejected",
            message_id=message.message_id,
            receive_count=message.receive_count,
            reason=str(error),
            next=self._next(message),
            exc_info=None if isinstance(error, HistoryError) else error,  # anything else is a bug
        )
        await lease.requeue(requeue_seconds(message.receive_count))

    async def _plan(self, message: Message, events: Sequence[ObjectEvent]) -> Sequence[_ImageWork]:
        """Return the created objects, with a task for each detector that hasn't processed it."""
        images = [self._work(message, event) for event in events if isinstance(event, ImageEvent)]
        wanted = [
            Wanted(task.key, task.event_id, work.record) for work in images for task in work.tasks
        ]
        pending = await self._lookup.pending(wanted)
        if len(pending) < len(wanted):
            keys = {one.key for one in pending}
            for work in images:
                work.tasks = [task for task in work.tasks if task.key in keys]
        if self._router.needs_detections:
            for work in images:
                work.earlier = await self._earlier(work)
        return images

    def _work(self, message: Message, event: ImageEvent) -> _ImageWork:
        """Return an image with a task for each detector that takes it.

        Its medium and the event's request decide.
        """
        reference, detectors = event.reference, event.detectors
        image: Image
        if media_of(reference.key) is Media.VIDEO:
            image, takers = VideoObject(reference, event.size_bytes), self._takers_of_videos
        else:
            image, takers = self._store.image(reference, event.size_bytes), self._takers_of_images
        is_last = self._is_last(message)
        tasks = [
            Task(message, event, image, RunKey(reference.image_id, *configuration), is_last)
            for configuration in takers
            if detectors is None or configuration.detector in detectors
        ]
        return _ImageWork(event.record(), image, tasks)

    async def _earlier(self, work: _ImageWork) -> Earlier:
        """Return the earlier results of detectors that routes need and that have no task now."""
        record, medium = work.record, media_of(work.record.key)
        detectors = {task.key.detector for task in work.tasks}
        required = self._router.requires(detectors) - detectors
        keys = {
            name: RunKey(record.image_id, *_configuration(self._runners[name], medium))
            for name in required
        }
        found = await self._lookup.summaries(keys.values())
        return {name: found.get(key) for name, key in keys.items()}

    async def _run_here(self, work: _ImageWork) -> TaskResult:
        """Run an image's only task in the current coroutine, which may be cancelled."""
        try:
            return await self._run(work.tasks[0], {}, work.earlier)
        except asyncio.CancelledError:
            if self._is_stopping:
                return STOPPING
            raise

    def _start(self, work: _ImageWork) -> Sequence["asyncio.Task[TaskResult]"]:
        """Start the tasks of an image concurrently. ``cancel_waiting`` can cancel them."""
        runs: dict[str, asyncio.Task[TaskResult]] = {}
        for task in work.tasks:
            run = asyncio.create_task(self._run(task, runs, work.earlier))
            runs[task.key.detector] = run
            self._cancellable.add(run)
            run.add_done_callback(self._cancellable.discard)
            if self._is_stopping:
                run.cancel()
        return list(runs.values())

    async def _run(self, task: Task, peers: Peers, earlier: Earlier) -> TaskResult:
        """Call a task's detector until there is a result, or create a wanted job."""
        runner = self._runners[task.key.detector]
        if isinstance(runner, JobRunner):
            return await self._want(task, runner, peers, earlier)
        with self._prefetch.hold(
            task.image, runner.form, is_redelivered=task.message.receive_count > 1
        ) as hold:
            concluded = await self._attempts.conclude(
                task, runner, partial(self._ask, task, runner, hold, peers, earlier)
            )
            if not isinstance(concluded, Concluded):
                return concluded
            answer = concluded.answer
            try:
                match concluded.decision:
                    case Succeed(findings):
                        records = self._records
                        if isinstance(task.image, VideoObject):
                            records = self._video_records
                        return records.success(
                            task, answer, findings, runner.detector, runner.input
                        )
                    case Fail() as fail:
                        return self._records.failure(task, answer, fail)
            finally:
                self._budget.release(runner.name, answer.reserved_usd)

    async def _want(
        self, task: Task, runner: JobRunner, peers: Peers, earlier: Earlier
    ) -> TaskResult:
        """Return a job for a video, unless a route excludes it."""

        async def ask() -> Answer | TaskResult:
            excluded = await self._exclusion(task, peers, earlier)
            return excluded or JobRecord(task.key, task.event_id, runner.job_group)

        concluded = await self._attempts.conclude(task, None, ask)
        if not isinstance(concluded, Concluded):
            return concluded
        match concluded.decision:
            case Fail() as fail:
                return self._records.failure(task, concluded.answer, fail)
            case Succeed():
                raise AssertionError("an error isn't a success")

    async def _ask(
        self, task: Task, runner: DetectorRunner, hold: Hold, peers: Peers, earlier: Earlier
    ) -> Answer | TaskResult:
        """Ask the route whether it admits the image, then call the detector."""
        if (excluded := await self._exclusion(task, peers, earlier)) is not None:
            return excluded
        if isinstance(task.image, VideoObject) and self._frames is not None:
            answer = await self._frames.detect(task, task.image, runner)
            if not isinstance(answer, Answer):
                return answer
        else:
            async with hold:
                answer = await runner.detect(task, self._records.encoder)
        if isinstance(answer.value, BaseException):
            task.billed_units += billed_units(answer.value)
        return answer

    async def _exclusion(
        self, task: Task, peers: Peers, earlier: Earlier
    ) -> Answer | TaskResult | None:
        """Return the result of a task that its route doesn't admit; ``None`` if it does."""
        try:
            admission = await self._router.admit(task, peers, earlier)
        except Exception as error:  # noqa: BLE001 - of S3, or a shortage; the same table decides
            return Answer(error, datetime.now(UTC))
        match admission:
            case Skip(code, reason):
                return self._records.skip(task, code, reason)
            case Requeue():
                return admission
        return None

    def _is_last(self, message: Message) -> bool:
        """Return whether SQS would move the message to the dead-letter queue next time."""
        return message.receive_count >= self._max_receive_count

    def _next(self, message: Message) -> str:
        """Return a text for the log: the next step of SQS with a message that isn't deleted."""
        return "dead-letter queue" if self._is_last(message) else "delivered again"


def _takers(
    runners: Sequence[DetectorRunner | JobRunner], medium: Media
) -> Sequence[DetectorConfiguration]:
    return [_configuration(runner, medium) for runner in runners if medium in runner.media]


def _configuration(runner: DetectorRunner | JobRunner, medium: Media) -> DetectorConfiguration:
    """Return the part of the run key that is the same for all objects of a medium."""
    fingerprint = runner.fingerprint
    if runner.video_fingerprint is not None and medium is Media.VIDEO:
        fingerprint = runner.video_fingerprint
    return DetectorConfiguration(runner.name, runner.version, fingerprint)


def _result(run: "asyncio.Task[TaskResult]") -> TaskResult:
    """Return a task's result. A cancelled task is requeued for another worker."""
    return STOPPING if run.cancelled() else run.result()


def _delivery(
    message: Message,
    events: ParsedBody,
    images: Sequence[_ImageWork],
    results: Sequence[Sequence[TaskResult]],
) -> Delivery:
    """Return everything to commit because of a message.

    Args:
        message: The message.
        events: Its events.
        images: The images of its events.
        results: The results of each image's tasks.
    """
    references: list[ImageReference] = []
    records: list[ImageRecord] = []
    recorded: list[RunRecord] = []
    videos: list[VideoRecord] = []
    jobs: list[JobRecord] = []
    delays = [requeue_seconds(message.receive_count)] if events.problems else []
    for work, its in zip(images, results, strict=True):
        runs: list[RunRecord] = []
        for result in its:
            if isinstance(result, RunRecord):
                runs.append(result)
            elif isinstance(result, JobRecord):
                jobs.append(result)
            else:
                delays.append(result.after_seconds)
        recorded += runs
        references.append(work.image.reference)
        records.append(_learned(work, runs))
        if isinstance(work.image, VideoObject) and work.image.record is not None:
            videos.append(work.image.record)
    return Delivery(
        message,
        references=references,
        images=records,
        removed=[event.record() for event in events.events if isinstance(event, RemovalEvent)],
        runs=recorded,
        videos=videos,
        jobs=jobs,
        requeue_after_seconds=max(delays) if delays else None,
    )


def _learned(work: _ImageWork, runs: Sequence[RunRecord]) -> ImageRecord:
    """Return the image's record, updated with facts that its tasks found."""
    record = work.record
    if work.image.size_px is not None:
        width_px, height_px = work.image.size_px
        record = replace(record, width_px=width_px, height_px=height_px)
    if missing := [run.started_at for run in runs if run.error_code in GONE]:
        # Not before the event, regardless of this machine's clock.
        since = max(min(missing), record.uploaded_at, record.served_at or record.uploaded_at)
        record = replace(record, missing_since=since)
    return record
