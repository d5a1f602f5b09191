"""The worker's metrics, which Prometheus and CloudWatch exporters read.

Names begin with ``retinue_`` and end with the unit. Labels are detectors and error codes, never
keys or ids, so that the number of series stays small.
"""

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from retinue_sdk import Capabilities

from retinue_workers.work import Message

if TYPE_CHECKING:
    from retinue_history import RunRecord

DETECT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds of detection times in seconds, from a small local model to the default timeout."""

STAGE_BUCKETS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 1.0, 4.0)
"""Bounds of stages in seconds, from a copy to a network on the CPU."""

COMMIT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Bounds of commit times in seconds."""


class Metrics:
    """The metrics of one worker.

    Args:
        in_flight: Returns how many messages are in flight.
        pause_reasons: Returns how many causes keep the receive gate closed.
        standstill_seconds: Returns how long messages have waited without progress.
        paused_jobs: Returns of how many detectors jobs wait.

    Attributes:
        registry: The registry that exporters read.
    """

    def __init__(
        self,
        *,
        in_flight: Callable[[], int],
        pause_reasons: Callable[[], int],
        standstill_seconds: Callable[[], float] = lambda: 0.0,
        paused_jobs: Callable[[], int] = lambda: 0,
    ) -> None:
        self.registry = registry = CollectorRegistry()
        self._received = Counter(
            "retinue_messages_received", "Messages received", registry=registry
        )
        self._age = Gauge(
            "retinue_queue_age_seconds",
            "Age of the oldest message of the last receive when it came; 0 if it brought none",
            registry=registry,
        )
        self._runs = Counter(
            "retinue_runs",
            "Runs recorded; error_code is empty for those that succeeded",
            ["detector", "outcome", "error_code"],
            registry=registry,
        )
        self._units = Counter(
            "retinue_billed_units", "Units that providers bill", ["detector"], registry=registry
        )
        self._price = Counter(
            "retinue_price_usd", "Price of runs in US dollars", ["detector"], registry=registry
        )
        self._retries = Counter(
            "retinue_retries",
            "Calls that are made again inside the worker",
            ["detector", "throttled"],
            registry=registry,
        )
        self._detect = Histogram(
            "retinue_detect_seconds",
            "Time of a detector for one image, in seconds",
            ["detector"],
            buckets=DETECT_BUCKETS,
            registry=registry,
        )
        self._stages = Histogram(
            "retinue_stage_seconds",
            "Time of a stage of the work: fetch, decode and prepare for an image; wait, copy, "
            "compute and post for a batch",
            ["detector", "stage"],
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self._stage = cache(self._stages.labels)  # each image has a stage
        self._images = Gauge(
            "retinue_detector_max_images",
            "How many images a detector processes at a time; device is what it computes on",
            ["detector", "device"],
            registry=registry,
        )
        self._commit = Histogram(
            "retinue_commit_seconds",
            "Time of a transaction of the history, in seconds",
            buckets=COMMIT_BUCKETS,
            registry=registry,
        )
        self._jobs_started = Counter(
            "retinue_jobs_started", "Jobs started for videos", ["detector"], registry=registry
        )
        self._jobs_ended = Counter(
            "retinue_jobs_ended",
            "Jobs whose run was recorded; hinted is whether their service sent a message",
            ["detector", "hinted"],
            registry=registry,
        )
        self._job_looks = Counter(
            "retinue_job_looks",
            "Looks at jobs that hadn't ended; overdue after a day",
            ["detector", "overdue"],
            registry=registry,
        )
        Gauge(
            "retinue_jobs_paused",
            "Of how many detectors jobs wait, for the service or the budget",
            registry=registry,
        ).set_function(paused_jobs)
        Gauge(
            "retinue_messages_in_flight", "Received and not yet deleted", registry=registry
        ).set_function(in_flight)
        Gauge(
            "retinue_receiving_paused",
            "How many causes keep the worker from receiving; 0 if it receives",
            registry=registry,
        ).set_function(pause_reasons)
        Gauge(
            "retinue_standstill_seconds",
            "How long messages have waited without one being done; 0 if none waits",
            registry=registry,
        ).set_function(standstill_seconds)

    def received(self, messages: Sequence[Message], now: float) -> None:
        """Count a receive, with messages or without.

        Args:
            messages: The received messages.
            now: The time, in seconds since the epoch.
        """
        self._received.inc(len(messages))
        sent = [message.sent_at for message in messages if message.sent_at is not None]
        self._age.set(max(0.0, now - min(sent)) if sent else 0.0)

    def committed(self, runs: "Sequence[RunRecord]") -> None:
        """Count new runs of a commit, by detector."""
        by_detector: defaultdict[str, list[RunRecord]] = defaultdict(list)
        for run in runs:
            by_detector[run.key.detector].append(run)
        for detector, its in by_detector.items():
            endings = Tally((run.outcome, run.error_code or "") for run in its)
            for ending, number in endings.items():
                self._runs.labels(detector, *ending).inc(number)
            duration = self._detect.labels(detector)
            for run in its:
                duration.observe(run.duration_ms / 1_000)
            if units := sum(run.billed_units for run in its):
                self._units.labels(detector).inc(float(units))
                self._price.labels(detector).inc(float(sum(run.price_usd for run in its)))

    def commit_took(self, seconds: float) -> None:
        """Record the duration of a committed transaction."""
        self._commit.observe(seconds)

    def uses(self, detector: str, capabilities: Capabilities) -> None:
        """Record how many images a detector takes at a time."""
        images = capabilities.max_batch_size * capabilities.max_concurrency
        self._images.labels(detector, capabilities.device).set(images)

    def stage(self, detector: str, stage: str, seconds: float) -> None:
        """Record the duration of a stage."""
        self._stage(detector, stage).observe(seconds)

    def retried(self, detector: str, throttled: bool) -> None:
        """Count a call that will be repeated."""
        self._retries.labels(detector, "yes" if throttled else "no").inc()

    def job_started(self, detector: str) -> None:
        """Count a job that was started."""
        self._jobs_started.labels(detector).inc()

    def job_ended(self, detector: str, *, was_hinted: bool) -> None:
        """Count a job whose run was recorded."""
        self._jobs_ended.labels(detector, "yes" if was_hinted else "no").inc()

    def job_looked_at(self, detector: str, *, is_overdue: bool) -> None:
        """Count a look at a job that hadn't ended."""
        self._job_looks.labels(detector, "yes" if is_overdue else "no").inc()
