"""Histories that are away, slow, or picky."""

from collections.abc import Collection, Sequence
from threading import Lock
from uuid import UUID

from retinue_history import (
    REPLAY,
    ConfigurationRecord,
    DetectionSummary,
    DetectorConfiguration,
    History,
    HistoryDataError,
    HistoryUnavailableError,
    ImageRecord,
    JobRecord,
    RemovedObject,
    RunKey,
    RunRecord,
    TaskKey,
    VideoRecord,
)


class MemoryHistory(History):
    """Keeps runs in memory by the rules of the real one, with faults on demand.

    Attributes:
        away: While set, every call raises ``HistoryUnavailableError``.
        poison: A detector name; records of its runs are refused for good.
        broken: Raised by ``record`` as it is: a bug.
        runs: What was recorded, in order.
        images: Sightings, in order.
        removed: Removals, in order.
        videos: Facts of videos, in order.
        jobs: Jobs that were wanted, in order.
        configurations: What fingerprints stand for, in order.
        used: Which configurations each pool uses.
        erased_images: Images that were erased on request.
    """

    def __init__(self, journal: list[str] | None = None) -> None:
        self.away = False
        self.poison: str | None = None
        self.broken: Exception | None = None
        self.runs: list[RunRecord] = []
        self.images: list[ImageRecord] = []
        self.removed: list[RemovedObject] = []
        self.videos: list[VideoRecord] = []
        self.jobs: list[JobRecord] = []
        self.configurations: list[ConfigurationRecord] = []
        self.used: dict[str, list[DetectorConfiguration]] = {}
        self.erased_images: set[UUID] = set()
        self.calls = 0
        self.journal = [] if journal is None else journal
        self._lock = Lock()

    def done_and_erased(
        self, tasks: Collection[TaskKey], images: Collection[ImageRecord]
    ) -> tuple[set[RunKey], set[UUID]]:
        self._check()
        with self._lock:
            missing = {
                key
                for key, event_id in tasks
                if not any(
                    run.key == key
                    and (
                        run.outcome == "succeeded"
                        or (not run.retryable and not event_id.startswith(REPLAY))
                        or run.event_id == event_id
                    )
                    for run in self.runs
                )
            }
        done = {key for key, _ in tasks} - missing
        return done, {image.image_id for image in images} & self.erased_images

    def summaries(self, keys: Collection[RunKey]) -> dict[RunKey, list[DetectionSummary]]:
        self._check()
        with self._lock:
            return {
                run.key: [DetectionSummary(d.kind, d.label, d.confidence) for d in run.detections]
                for run in self.runs
                if run.key in keys and run.outcome == "succeeded"
            }

    def record(
        self,
        images: Sequence[ImageRecord],
        runs: Sequence[RunRecord] = (),
        removed: Sequence[RemovedObject] = (),
        videos: Sequence[VideoRecord] = (),
        jobs: Sequence[JobRecord] = (),
    ) -> dict[TaskKey, int]:
        self._check()
        if self.broken is not None:
            raise self.broken
        if any(run.key.detector == self.poison for run in runs):
            raise HistoryDataError("poison")
        with self._lock:
            self.images.extend(images)
            self.removed.extend(removed)
            self.videos.extend(videos)
            self.jobs.extend(jobs)
            new: dict[TaskKey, int] = {}
            for run in sorted(runs, key=lambda run: (run.outcome != "succeeded", run.event_id)):
                of_key = [other for other in self.runs if other.key == run.key]
                repeated = any(other.event_id == run.event_id for other in of_key)
                second = run.outcome == "succeeded" and any(
                    other.outcome == "succeeded" for other in of_key
                )
                if not repeated and not second:
                    self.runs.append(run)
                    self.journal.append(f"commit {run.key.detector} {run.event_id}")
                    new[run.key, run.event_id] = len(self.runs)
            return new

    def record_configurations(self, configurations: Collection[ConfigurationRecord]) -> None:
        self._check()
        self.configurations.extend(configurations)

    def use_configurations(
        self,
        pool: str,
        configurations: Collection[DetectorConfiguration],
        videos: Collection[DetectorConfiguration] = (),
    ) -> None:
        self._check()
        self.used[pool] = [*configurations, *videos]

    def _check(self) -> None:
        self.calls += 1
        if self.away:
            raise HistoryUnavailableError("the database is away")


class FlakyHistory(History):
    """The real history behind a line that can be cut.

    Attributes:
        away: While set, every call raises ``HistoryUnavailableError``.
        lose_answers: How many calls of ``record`` commit and then lose the connection.
    """

    def __init__(self, history: History) -> None:
        self._real = history
        self.away = False
        self.lose_answers = 0
        self.refused = 0

    def done_and_erased(
        self, tasks: Collection[TaskKey], images: Collection[ImageRecord]
    ) -> tuple[set[RunKey], set[UUID]]:
        self._check()
        return self._real.done_and_erased(tasks, images)

    def summaries(self, keys: Collection[RunKey]) -> dict[RunKey, list[DetectionSummary]]:
        self._check()
        return self._real.summaries(keys)

    def record(
        self,
        images: Sequence[ImageRecord],
        runs: Sequence[RunRecord] = (),
        removed: Sequence[RemovedObject] = (),
        videos: Sequence[VideoRecord] = (),
        jobs: Sequence[JobRecord] = (),
    ) -> dict[TaskKey, int]:
        self._check()
        recorded = self._real.record(images, runs, removed, videos, jobs)
        if self.lose_answers > 0:
            self.lose_answers -= 1
            raise HistoryUnavailableError("the connection broke during the commit")
        return recorded

    def record_configurations(self, configurations: Collection[ConfigurationRecord]) -> None:
        self._check()
        self._real.record_configurations(configurations)

    def use_configurations(
        self,
        pool: str,
        configurations: Collection[DetectorConfiguration],
        videos: Collection[DetectorConfiguration] = (),
    ) -> None:
        self._check()
        self._real.use_configurations(pool, configurations, videos)

    def _check(self) -> None:
        if self.away:
            self.refused += 1
            raise HistoryUnavailableError("the database is away")
