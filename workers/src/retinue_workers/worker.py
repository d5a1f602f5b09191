"""A worker: one queue, a set of detectors, one history. Connect, start and stop its parts."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from retinue_history import (
    ConfigurationRecord,
    DetectorConfiguration,
    History,
    HistoryUnavailableError,
    Jobs,
    ModelSessions,
)
from retinue_sdk import (
    AnyDetector,
    AsyncDetector,
    Capabilities,
    ConfigurationError,
    ImageDetector,
    Input,
    JobDetector,
)
from retinue_sdk.detector import preparation_of
from retinue_sdk.errors import format_error
from retinue_sdk.json_value import encode_json
from retinue_sdk.memory_limit import usable_memory_bytes
from retinue_sdk.plugins.manager import Plugins

from retinue_workers.detectors.call_rate_limiter import CallRateLimiter
from retinue_workers.detectors.encoding import FindingsEncoder
from retinue_workers.detectors.filters import Filters
from retinue_workers.detectors.run_record import RunRecorder
from retinue_workers.detectors.runner import BlockingDetector, DetectorRunner, startup_errors
from retinue_workers.detectors.suspects import Successes
from retinue_workers.dispatch.attempts import Attempts
from retinue_workers.dispatch.dispatcher import Dispatcher
from retinue_workers.dispatch.routing.object_metadata import MetadataReader
from retinue_workers.dispatch.routing.router import Router
from retinue_workers.hosted_models.controllers import ModelControllers
from retinue_workers.intake.capacity import Capacity, batch_images, image_limits
from retinue_workers.intake.inbox import Inbox
from retinue_workers.intake.prefetch import Prefetch, StageObserver
from retinue_workers.intake.s3 import ObjectStore
from retinue_workers.intake.sqs import Queue
from retinue_workers.jobs.runner import JobRunner
from retinue_workers.jobs.scheduler import Intervals, JobScheduler
from retinue_workers.limits.budget import Budget
from retinue_workers.limits.ending import end_tasks
from retinue_workers.limits.rate_limits.shared_limiter import SharedRateLimiter
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.retry import retry_until_available
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.ops.health import Liveness
from retinue_workers.ops.metrics import Metrics
from retinue_workers.ops.standstill import Standstill
from retinue_workers.ops.task_protection import TaskProtection
from retinue_workers.recording.committer import Committer
from retinue_workers.recording.lookup import Lookup
from retinue_workers.recording.observers import Observers
from retinue_workers.settings.settings import Settings
from retinue_workers.settings.video import check_decoder
from retinue_workers.work import Message, QueueDepth

if TYPE_CHECKING:
    from retinue_workers.detectors.isolation.proxy import IsolatedDetector
    from retinue_workers.dispatch.video_frames import VideoFrames

log = structlog.get_logger(__name__)

COMMIT_SECONDS = 4.0
"""Time allowed at shutdown to commit, after the detectors' grace period."""

REQUEUE_SECONDS = 0.5
"""Time allowed at shutdown to return unfinished messages to SQS."""

BACKGROUND_SECONDS = 2.0
"""Time allowed at shutdown to release leases, which expire by themselves."""

OBSERVE_SECONDS = 1.0
"""Time allowed at shutdown for the observers, after the last commit."""

PLUGIN_SECONDS = 1.0
"""Time allowed at shutdown for plugins to send pending data."""

STUCK_SECONDS = 120.0
"""Time without progress, in addition to a detector's time with retries, after which a worker is
unhealthy.
"""

HISTORY_THREADS = 4
"""Number of concurrent statements of the history: a commit, a lookup, and others."""

VIDEO_RESPONSES = 8
"""How many times larger than of an image the response for a video may be."""

DETECTION_BYTES = 16_384
"""Maximum size of one detection from an isolated detector without attributes, in bytes. A label has
at most 2,048 bytes, and JSON may need six times as many.
"""


class Worker:
    """Consumes a queue until it is stopped. Create, start and stop it on one event loop.

    Args:
        settings: The worker's settings.
        plugins: Observers of runs, and filters.
        detectors: The detectors, not started.
        queue: Provides the messages.
        store: Reads the images.
        history: Stores the runs.
        jobs: Open jobs for videos; needed if a detector has jobs.
        intervals: Times of jobs.
        sessions: Leases of hosted models; needed if the settings name models.
        queue_depth: Reads the queue's depth. Needed if the settings name models, and to detect
            messages that wait while none is received.

    Attributes:
        metrics: The worker's metrics.
        liveness: Decides whether it makes progress.

    Raises:
        ConfigurationError: A detector's capabilities can't be read.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        plugins: Plugins,
        detectors: Sequence[AnyDetector],
        queue: Queue,
        store: ObjectStore,
        history: History,
        jobs: Jobs | None = None,
        intervals: Intervals | None = None,
        sessions: ModelSessions | None = None,
        queue_depth: Callable[[], QueueDepth] | None = None,
    ) -> None:
        self._settings = settings
        self._capacity = Capacity.of(
            settings,
            [
                _declared(detector)
                for detector in detectors
                if detector.name not in settings.isolation and preparation_of(detector) is not None
            ],
        )
        self._plugins = plugins
        self._store = store
        self._history = history
        self._pool = queue.arn
        self._threads = DaemonThreads("history", HISTORY_THREADS)
        self._life_threads = DaemonThreads("worker", 1)  # start and stop, even while Postgres hangs
        gate = ReceiveGate()
        self._inbox = Inbox(
            queue,
            gate,
            capacity=self._capacity.messages,
            heartbeat_seconds=settings.heartbeat_seconds,
            visibility_timeout_seconds=settings.visibility_timeout_seconds,
        )
        self._standstill = Standstill(lambda: len(self._inbox), queue_depth)
        self.metrics = Metrics(
            in_flight=lambda: len(self._inbox),
            pause_reasons=lambda: len(gate.reasons()),
            standstill_seconds=self._standstill.seconds,
            paused_jobs=lambda: len(self._jobs.reasons()),
        )
        self.liveness = Liveness(
            STUCK_SECONDS + settings.detector_timeout_seconds + settings.retry_window_seconds,
            gate,
            standstill=self._standstill.text,
            paused_jobs=lambda: self._jobs.reasons(),
        )
        self._protection = TaskProtection.of_this_task(self._inbox)
        self._observers = Observers(plugins)
        self._budget = Budget(
            history,
            self._threads,
            gate,
            prices=settings.prices,
            budgets=settings.monthly_budgets_usd,
        )
        self._prefetch = Prefetch(
            threads=self._capacity.threads,
            max_images=self._capacity.images,
            prepare_seconds=settings.detector_timeout_seconds,
        )
        self._metadata = MetadataReader(store, self._prefetch, settings.routes)
        self._isolated: list[IsolatedDetector] = []
        filters = Filters(plugins.filters())
        successes = Successes()
        runner_type, committer_type, dispatcher_type, scheduler_type = _main_path(settings)
        self._runners = [
            runner_type(
                self._isolate(detector),
                timeout_seconds=settings.detector_timeout_seconds,
                gate=gate,
                budget=self._budget,
                prefetch=self._prefetch,
                filters=filters,
                successes=successes,
                video=settings.video.get(detector.name),
                on_stage=self._observe_stages(detector),
            )
            for detector in detectors
            if not isinstance(detector, JobDetector)
        ]
        self._job_runners = [
            JobRunner(detector, filters=filters, budget=self._budget, max_jobs=settings.max_jobs)
            for detector in detectors
            if isinstance(detector, JobDetector)
        ]
        self._check_jobs()
        self._limiter = SharedRateLimiter(_quotas(detectors), history, self._threads)
        runners = {runner.name: runner for runner in self._runners}
        for detector in detectors:
            if detector.capabilities.quotas:
                runner = runners.get(detector.name)
                detector.rate_limiter = CallRateLimiter(self._limiter, runner)
        self._controllers = ModelControllers(
            settings.hosted_models,
            detectors,
            sessions=sessions,
            queue_arn=queue.arn,
            queue_depth=queue_depth,
            gate=gate,
        )
        attempts = Attempts(self._budget, self.metrics, settings.retry_window_seconds)
        self._frames = self._video_frames(attempts) if settings.video else None
        video_records = RunRecorder(
            self._budget,
            FindingsEncoder(
                settings.max_video_detections, settings.max_response_bytes * VIDEO_RESPONSES
            ),
        )
        self._jobs = scheduler_type(
            self._job_runners,
            jobs=jobs,
            threads=self._threads,
            store=store,
            records=video_records,
            filters=filters,
            budget=self._budget,
            metrics=self.metrics,
            observers=self._observers,
            gate=gate,
            timeout_seconds=settings.detector_timeout_seconds,
            intervals=intervals,
        )
        self._dispatcher = dispatcher_type(
            inbox=self._inbox,
            lookup=Lookup(history, self._threads, gate),
            router=Router(settings.routes, self._metadata),
            runners=self._runners,
            jobs=self._jobs,
            records=RunRecorder(
                self._budget, FindingsEncoder(settings.max_detections, settings.max_response_bytes)
            ),
            committer=committer_type(
                history,
                self._threads,
                gate,
                budget=self._budget,
                metrics=self.metrics,
                observers=self._observers,
            ),
            store=store,
            prefetch=self._prefetch,
            budget=self._budget,
            attempts=attempts,
            max_receive_count=queue.max_receive_count,
            frames=self._frames,
            video_records=video_records,
        )
        self._background: set[asyncio.Task[None]] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._receiving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the detectors, then receive.

        Raises:
            ConfigurationError: A plugin refuses its options, or a detector can't start with its
                options. Parts that were already started are stopped.
        """
        try:
            await self._life_threads.run(self._plugins.starting, self._settings.plugin_options)
        except BaseException:
            self._life_threads.close()
            raise
        for coroutine in (
            self._inbox.keep_hidden(),
            self._observers.run(),
            self._budget.keep_reading(),
            self._limiter.keep_leases(),
            self._controllers.run(),
            self._standstill.watch(),
        ):
            self._run_in_background(coroutine)
        try:
            reads = any(runner.input is not Input.REFERENCE for runner in self._runners)
            if reads or self._job_runners:
                await self._life_threads.run(self._store.connect)
            for runner in self._runners:
                await runner.start()
            await self._jobs.start()
            await self._record_configurations()
        except BaseException:
            await self.stop()
            raise
        self._run_in_background(self._use_configurations())
        if self._protection is not None:
            self._run_in_background(self._protection.run())
        self._receiving = asyncio.create_task(self._receive())
        log.info("receiving_started", detectors=[runner.name for runner in self._all_runners])

    async def stop(self) -> None:
        """Stop gracefully; see "Stopping" in docs/architecture.md.

        Receiving ends, and waiting messages are requeued immediately. Running calls may finish
        within the grace period, and their results are committed.
        """
        grace_seconds = self._settings.shutdown_grace_seconds
        deadline = time.monotonic() + grace_seconds
        log.info("stopping", in_flight=len(self._inbox), grace_seconds=grace_seconds)
        receiving = {self._receiving} if self._receiving is not None else set()
        for task in receiving:
            task.cancel()
        for runner in self._runners:
            runner.stop_calling()
        self._jobs.stop()
        self._dispatcher.cancel_waiting()
        await asyncio.gather(
            *(runner.close(deadline) for runner in self._runners), self._jobs.close(deadline)
        )
        self._dispatcher.cancel_waiting()
        for isolated in self._isolated:  # a running detector wasn't closed
            await self._life_threads.run(isolated.kill)
        if self._frames is not None:
            await self._life_threads.run(self._frames.close)
        await end_tasks(receiving, max(0.0, deadline - time.monotonic()))
        await end_tasks(self._handlers, COMMIT_SECONDS)
        await end_tasks(self._handlers, REQUEUE_SECONDS)
        await self._observers.drain(OBSERVE_SECONDS)  # before the coroutine that calls them ends
        for task in self._background:
            task.cancel()
        await end_tasks(self._background, BACKGROUND_SECONDS)
        await self._life_threads.run(self._plugins.stopping, PLUGIN_SECONDS)
        for part in (
            self._prefetch,
            self._metadata,
            self._store,
            self._threads,
            self._life_threads,
        ):
            part.close()
        log.info("stopped", in_flight=len(self._inbox))

    async def _receive(self) -> None:
        loop = asyncio.get_running_loop()
        async for messages in self._inbox.receive():
            self.metrics.received(messages, time.time())
            if messages or not len(self._inbox):
                self.liveness.record_progress()  # otherwise its messages may be stuck
            if len(self._inbox) == len(messages):
                self._standstill.record_progress()  # it held none
            if messages and self._protection is not None:
                self._protection.note_messages()
            for message in messages:
                handler = loop.create_task(self._handle(message))
                self._handlers.add(handler)
                handler.add_done_callback(self._handlers.discard)

    async def _handle(self, message: Message) -> None:
        try:
            await self._dispatcher.handle(message)
        except Exception:  # a bug must be logged; the message has been requeued
            log.exception("message_failed", message_id=message.message_id)
        self._note_progress()

    def _run_in_background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._end_background)

    def _end_background(self, task: "asyncio.Task[None]") -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("background_task_failed", exc_info=task.exception())

    @property
    def _all_runners(self) -> list[DetectorRunner | JobRunner]:
        return [*self._runners, *self._job_runners]

    def _check_jobs(self) -> None:
        """Raise for settings that can't apply to detectors of jobs.

        Raises:
            ConfigurationError: The message names the setting and the remedy.
        """
        names = {runner.name for runner in self._job_runners}
        for setting, given in (
            ("ISOLATION", self._settings.isolation.keys()),
            ("VIDEO", self._settings.video.keys()),
        ):
            if named := sorted(names & given):
                raise ConfigurationError(
                    f"RETINUE_{setting} names {', '.join(named)}, whose service processes whole "
                    "videos elsewhere: remove it there"
                )
        for name, route in self._settings.routes.items():
            if needed := sorted(names & {required.detector for required in route.found}):
                raise ConfigurationError(
                    f"RETINUE_ROUTES[{name}]: found can't name {', '.join(needed)}, whose findings "
                    "of a video come minutes or hours later: remove the condition"
                )

    def _isolate(self, detector: ImageDetector) -> AsyncDetector[Any] | BlockingDetector:
        """Return the detector, or the proxy of one that the settings isolate."""
        settings = self._settings
        isolation = settings.isolation.get(detector.name)
        if isolation is None:
            return detector
        # Not at the top: multiprocessing takes 2 MB, and most workers isolate no detector.
        from retinue_workers.detectors.isolation.proxy import IsolatedDetector

        isolated = IsolatedDetector(
            detector,
            isolation,
            limits=image_limits(settings),
            timeout_seconds=settings.detector_timeout_seconds,
            max_answer_bytes=settings.max_response_bytes
            + settings.max_detections * DETECTION_BYTES,
        )
        self._isolated.append(isolated)
        return isolated

    def _observe_stages(self, detector: AnyDetector) -> StageObserver:
        """Let a detector report its stages to the metrics. Return their observer."""
        declared = _declared(detector)
        self.metrics.uses(detector.name, declared)
        held = min(self._capacity.images, self._capacity.messages)
        if declared.input is not Input.REFERENCE and declared.max_batch_size > held:
            log.warning(
                "batches_stay_small",
                detector=detector.name,
                max_batch_size=declared.max_batch_size,
                images_held=held,
                remedy="raise RETINUE_PREFETCH_IMAGES and RETINUE_MAX_IN_FLIGHT above "
                f"{batch_images(declared)}",
            )
        observer = partial(self.metrics.stage, detector.name)
        detector.observe_stages(observer)
        return observer

    def _video_frames(self, attempts: Attempts) -> "VideoFrames":
        settings = self._settings
        check_decoder(settings.video)
        # Not at the top: multiprocessing takes 2 MB, and most workers process no videos.
        from retinue_workers.dispatch.video_frames import VideoFrames
        from retinue_workers.video.reader import MAX_MEMORY_BYTES, VideoDecoder

        return VideoFrames(
            decoder=VideoDecoder(
                max_px=settings.max_image_px,
                timeout_seconds=settings.detector_timeout_seconds,
                max_memory_bytes=max(
                    2**29, min(MAX_MEMORY_BYTES, (usable_memory_bytes() or 2**34) // 4)
                ),
            ),
            store=self._store,
            attempts=attempts,
            max_videos=self._capacity.threads,
            max_bytes=settings.max_video_bytes,
            max_appearances=settings.max_video_detections,
            on_progress=self._note_progress,
        )

    def _note_progress(self) -> None:
        self.liveness.record_progress()
        self._standstill.record_progress()

    async def _use_configurations(self) -> None:
        """Record the configurations that this pool uses, because readers prefer their runs."""
        used = [
            DetectorConfiguration(one.name, one.version, one.fingerprint)
            for one in self._all_runners
        ]
        videos = [
            DetectorConfiguration(runner.name, runner.version, runner.video_fingerprint)
            for runner in self._runners
            if runner.video_fingerprint is not None
        ]
        record = partial(self._history.use_configurations, self._pool, used, videos)
        await retry_until_available(
            partial(self._threads.run, record),
            unavailable=HistoryUnavailableError,
            event="waiting_for_dependencies",
        )

    async def _record_configurations(self) -> None:
        """Record the options behind the fingerprints, for readers.

        No other part depends on them.
        """

        def record() -> None:
            records = [
                ConfigurationRecord(
                    runner.name,
                    runner.version,
                    runner.fingerprint,
                    encode_json(runner.detector.options.model_dump(mode="json")),
                )
                for runner in self._all_runners
            ]
            records += [
                ConfigurationRecord(
                    runner.name,
                    runner.version,
                    runner.video_fingerprint,
                    encode_json(
                        runner.detector.options.model_dump(mode="json")
                        | {"video": runner.video.model_dump()}
                    ),
                )
                for runner in self._runners
                if runner.video is not None and runner.video_fingerprint is not None
            ]
            self._history.record_configurations(records)

        try:
            await self._threads.run(record)
        except Exception as error:  # noqa: BLE001 - options may have serializers of the plugin's own
            log.warning("configurations_not_recorded", reason=format_error(error))


def _quotas(detectors: Sequence[AnyDetector]) -> dict[str, float]:
    """Return the calls per second by quota. If detectors differ, the minimum applies."""
    quotas: dict[str, float] = {}
    for detector in detectors:
        with startup_errors(detector.name):
            for quota, rate in detector.capabilities.quotas.items():
                quotas[quota] = min(rate, quotas.get(quota, rate))
    return quotas


def _declared(detector: AnyDetector) -> Capabilities:
    with startup_errors(detector.name):
        return detector.capabilities


def _main_path(
    settings: Settings,
) -> tuple[type[DetectorRunner], type[Committer], type[Dispatcher], type[JobScheduler]]:
    """Return the classes of the main path, with tracing if the settings enable it."""
    if settings.traces_endpoint is None:
        return DetectorRunner, Committer, Dispatcher, JobScheduler
    # Not at the top: OpenTelemetry is an extra, and few workers send traces.
    try:
        from retinue_workers.dispatch.tracing import (
            TracedCommitter,
            TracedDispatcher,
            TracedJobScheduler,
            TracedRunner,
        )
    except ImportError as error:
        raise ConfigurationError(
            "RETINUE_TRACES_ENDPOINT needs OpenTelemetry: install retinue-workers[tracing] "
            f"({error})"
        ) from error
    return TracedRunner, TracedCommitter, TracedDispatcher, TracedJobScheduler
