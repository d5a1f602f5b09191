"""A worker: one queue, a set of detectors, one history, put together and run."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

import structlog
from retinue_history import ConfigurationRecord, History, HistoryError, RunRecord
from retinue_sdk import AnyDetector, ImageLimits, Input
from retinue_sdk.plugins.manager import Plugins

from retinue_workers.detectors.filters import filtered
from retinue_workers.detectors.results import Settle
from retinue_workers.detectors.runner import Lane, LaneLimits, refusing
from retinue_workers.dispatch.completion import Settlement
from retinue_workers.dispatch.dispatcher import Pipeline
from retinue_workers.dispatch.routing.router import Router
from retinue_workers.hosted_models.controller import Ledger
from retinue_workers.hosted_models.controllers import Keepers
from retinue_workers.intake.heartbeat import Heartbeat
from retinue_workers.intake.in_flight import InFlight
from retinue_workers.intake.prefetch import Loader
from retinue_workers.intake.receiver import Consumer
from retinue_workers.intake.s3 import ObjectStore
from retinue_workers.intake.sqs import Queue, QueueUnavailableError
from retinue_workers.limits.budget import Spending
from retinue_workers.limits.rate_limits.shared_limiter import SharedPacer
from retinue_workers.limits.receive_gate import CircuitBreaker
from retinue_workers.ops.health import Pulse
from retinue_workers.ops.metrics import Metrics
from retinue_workers.ops.task_protection import TaskProtection
from retinue_workers.recording.committer import Committer
from retinue_workers.recording.observers import Observers, as_run
from retinue_workers.settings.settings import Settings
from retinue_workers.work import Backlog, Delivery, Message

if TYPE_CHECKING:
    from retinue_workers.detectors.isolation.proxy import IsolatedDetector

log = structlog.get_logger(__name__)

COMMIT_SECONDS = 4.0
"""What a stop leaves the committer after the detectors have had their grace; and a second more to
hand back what it could not commit."""

GIVE_BACK_SECONDS = 0.5
"""What a stop leaves the pacer to give its shares back; they expire by themselves."""

HAND_BACK_SECONDS = 0.5
"""What a stop leaves SQS at the end to take back what nobody came to an end with."""

OBSERVE_SECONDS = 1.0
"""What a stop leaves the observers after the last commit."""

STUCK_SECONDS = 120.0
"""How long a worker may hold messages and be done with none, beyond what a detector may take to
answer and be asked again, before it is not well."""

PLUGIN_SECONDS = 1.0
"""What a stop leaves plugins at the end, to send what waits."""

DETECTION_BYTES = 16_384
"""Most that one detection takes on its way out of an isolated detector's process, attributes aside:
its label has 2,048 bytes at most, of which JSON makes up to six times as many."""


class Worker:
    """Consumes a queue until it is told to stop.

    Args:
        settings: The worker's settings.
        plugins: Observers of finished runs.
        detectors: What to apply to each image; made, not started.
        queue: Where messages come from.
        store: Where images come from.
        history: Where runs go.
        ledger: Where it is written who keeps which model; needed if the settings name models.
        look: Tells what the queue holds; needed likewise.

    Attributes:
        metrics: What it counts and times.
        pulse: Whether it gets on.
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
        ledger: Ledger | None = None,
        look: Callable[[], Backlog] | None = None,
    ) -> None:
        """Put the parts together; nothing is started yet.

        Raises:
            ConfigurationError: A detector cannot say what it needs.
        """
        self._settings = settings
        self._history = history
        self._queue = queue
        self._breaker = CircuitBreaker()
        self._in_flight = InFlight(settings.max_in_flight)
        self.metrics = Metrics(
            in_flight=lambda: len(self._in_flight),
            open_causes=lambda: len(self._breaker.causes()),
        )
        self.pulse = Pulse(
            STUCK_SECONDS + settings.detector_timeout_seconds + settings.retry_window_seconds,
            self._breaker.causes,
        )
        self._heartbeat = Heartbeat(
            queue,
            self._in_flight,
            self._breaker,
            interval_seconds=settings.heartbeat_seconds,
            visibility_timeout_seconds=settings.visibility_timeout_seconds,
        )
        self._plugins = plugins
        self._store = store
        self._protection = TaskProtection.of_this_task(self._in_flight)
        self._observers = Observers(plugins.notify)
        self._spending = Spending(
            history,
            self._breaker,
            prices=settings.prices,
            budgets=settings.monthly_budgets_usd,
        )
        self._committer = Committer(
            history,
            queue,
            self._in_flight,
            self._breaker,
            self._announce,
            self.metrics.commit_took,
            self._spending.closed,
        )
        self._loader = Loader(
            threads=settings.prefetch_threads, prefetch_images=settings.prefetch_images
        )
        self._pacer = _pacer(detectors, history)
        settlement = Settlement(self._loader, self._committer.put)
        self._park = settlement.park
        router = Router(settings.routes, loader=self._loader, store=store, settle=settlement.settle)
        self._isolated: list[IsolatedDetector] = []
        filters = plugins.filters()
        lanes = [
            self._lane(filtered(self._dressed(detector), filters), router.settle)
            for detector in detectors
        ]
        facts = router.facts_detector()
        facts_lane = None if facts is None else self._lane(facts, router.settle_facts)
        router.connect(lanes, facts_lane)
        self._lanes = lanes if facts_lane is None else [*lanes, facts_lane]
        self._keepers = Keepers(
            settings.hosted_models, detectors, ledger=ledger, look=look, breaker=self._breaker
        )
        self._names = [lane.name for lane in lanes]
        self._pipeline = Pipeline(
            lanes,
            loader=self._loader,
            store=store,
            router=router,
            history=history,
            breaker=self._breaker,
            max_receive_count=queue.max_receive_count,
            complete=self._committer.put,
        )
        self._consumer = Consumer(
            queue, self._in_flight, self._breaker, self._pipeline.accept, self._received
        )

    def start(self) -> None:
        """Start the detectors, then receive.

        Raises:
            ConfigurationError: A plugin refuses its options, or a detector can never start as it
                is set. What was started before it is stopped.
        """
        self._plugins.starting(self._settings.plugin_options)
        for part in (self._heartbeat, self._observers, self._committer, self._loader):
            part.start()
        if self._pacer is not None:
            self._pacer.start()
        self._spending.start()
        self._keepers.start()
        try:
            if any(lane.input is not Input.REFERENCE for lane in self._lanes):
                self._store.connect()
            for lane in self._lanes:
                lane.start()
        except BaseException:
            self.stop()
            raise
        self._record_configurations()
        if self._protection is not None:
            self._protection.start()
        self._consumer.start()
        log.info("receiving", detectors=self._names)

    def stop(self) -> None:
        """Stop gracefully.

        Nothing more is received; what waits is handed back at once; calls that are under way may
        finish within the grace; what they found is committed.
        """
        grace_seconds = self._settings.shutdown_grace_seconds
        deadline = time.monotonic() + grace_seconds
        log.info("stopping", in_flight=len(self._in_flight), grace_seconds=grace_seconds)
        self._consumer.close()
        if self._protection is not None:
            self._protection.stop()
        for lane in self._lanes:
            lane.hand_back()
        self._pipeline.stop()
        for lane in self._lanes:
            lane.stop(deadline)
        for detector in self._isolated:  # one at work was not closed
            detector.kill()
        self._consumer.stop(max(0.0, deadline - time.monotonic()))
        self._committer.stop(COMMIT_SECONDS)
        handing_back = self._hand_back_rest()
        self._heartbeat.stop()
        self._spending.stop()
        self._keepers.stop()
        if self._pacer is not None:
            self._pacer.stop(GIVE_BACK_SECONDS)
        self._observers.stop(OBSERVE_SECONDS)
        self._plugins.stopping(PLUGIN_SECONDS)
        handing_back.join(HAND_BACK_SECONDS)
        log.info("stopped", in_flight=len(self._in_flight))

    def _hand_back_rest(self) -> Thread:
        """Hand back what is still in flight, such as what a database that hangs is asked about.

        On a thread of its own, since SQS may hang too. Should the commit of such a message come
        through after all, whoever receives it next finds it settled.
        """

        def work() -> None:
            left = self._in_flight.messages()
            self._in_flight.remove(left)  # no heartbeat may hide them again
            try:
                self._queue.change_visibility(left, 0)
            except QueueUnavailableError as error:
                log.warning("not_handed_back", messages=len(left), reason=str(error))

        thread = Thread(target=work, name="hand-back", daemon=True)
        thread.start()
        return thread

    def _lane(self, detector: AnyDetector, settle: Settle) -> Lane:
        """A lane for a detector, by the settings."""
        settings = self._settings
        return Lane(
            detector,
            spending=self._spending,
            pacer=self._pacer,
            limits=LaneLimits(
                detector_timeout_seconds=settings.detector_timeout_seconds,
                retry_window_seconds=settings.retry_window_seconds,
                max_detections=settings.max_detections,
                max_response_bytes=settings.max_response_bytes,
            ),
            breaker=self._breaker,
            settle=settle,
            retried=partial(self.metrics.retried, detector.name),
            park=self._park,
        )

    def _received(self, messages: Sequence[Message]) -> None:
        self.metrics.received(messages, time.time())
        if messages or not len(self._in_flight):
            self.pulse.beat()  # else it polls in vain, and what it holds may be stuck

    def _dressed(self, detector: AnyDetector) -> AnyDetector:
        """The detector, or what stands in for it by the settings."""
        settings = self._settings
        terms = settings.isolation.get(detector.name)
        if terms is None:
            return detector
        # Not at the top: processes take 2 MB of modules, and most workers start none.
        from retinue_workers.detectors.isolation.proxy import isolate

        isolated = isolate(
            detector,
            terms,
            limits=image_limits(settings),
            timeout_seconds=settings.detector_timeout_seconds,
            max_answer_bytes=settings.max_response_bytes
            + settings.max_detections * DETECTION_BYTES,
        )
        self._isolated.append(isolated)
        return isolated

    def _record_configurations(self) -> None:
        """Tell the history what the fingerprints stand for; a service to readers, so no must."""
        try:
            self._history.record_configurations(
                [
                    ConfigurationRecord(
                        lane.name,
                        lane.detector.version,
                        lane.fingerprint,
                        lane.detector.options.model_dump(mode="json"),
                    )
                    for lane in self._lanes
                ]
            )
        except (HistoryError, TypeError, ValueError) as error:
            log.warning("configurations_not_recorded", reason=str(error))

    def _announce(self, delivery: Delivery, runs: Mapping[int, RunRecord]) -> None:
        """Log what is new in the history, and tell the observers of runs; a skip is none."""
        self.metrics.committed([run for run in runs.values() if run.outcome != "skipped"])
        self.pulse.beat()
        references = {
            sighting.record.image_id: sighting.reference for sighting in delivery.sightings
        }
        observed = self._plugins.observed
        for run_id, run in runs.items():
            reference = references[run.key.image_id]
            if run.outcome == "skipped":
                log.info(
                    "skipped",
                    image_id=str(run.key.image_id),
                    run_id=run_id,
                    uri=reference.uri,
                    receive_count=delivery.message.receive_count,
                    detector=run.key.detector,
                    code=run.error_code,
                    reason=run.error_message,
                )
                continue
            log.info(
                "run",
                image_id=str(run.key.image_id),
                run_id=run_id,
                uri=reference.uri,
                receive_count=delivery.message.receive_count,
                detector=run.key.detector,
                outcome=run.outcome,
                detections=len(run.detections),
                duration_ms=round(run.duration_ms, 1),
                **(
                    {"error_code": run.error_code, "error": run.error_message}
                    if run.error_code
                    else {}
                ),
            )
            if observed:
                self._observers.put(as_run(run, reference))


def _pacer(detectors: Sequence[AnyDetector], history: History) -> SharedPacer | None:
    """A pacer for what the detectors need paced; ``None`` if they need nothing."""
    quotas: dict[str, float] = {}
    for detector in detectors:
        with refusing(detector):
            for quota, rate in detector.capabilities.quotas.items():
                quotas[quota] = min(rate, quotas.get(quota, rate))
    return SharedPacer(quotas, history) if quotas else None


def image_limits(settings: Settings) -> ImageLimits:
    """How large an image may be, by the settings."""
    return ImageLimits(max_bytes=settings.max_image_bytes, max_px=settings.max_image_px)
