"""A whole worker on stand-ins, for tests of what it does as a whole."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from typing import Any

import psycopg
from psycopg.rows import dict_row
from retinue_history import History, Jobs
from retinue_sdk import AnyDetector
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.intake.capacity import image_limits
from retinue_workers.jobs.scheduler import Intervals
from retinue_workers.settings.settings import Settings
from retinue_workers.worker import Worker

from fakes.events import BUCKET, created
from fakes.object_store import MemoryS3, store_on
from fakes.queue import MemoryQueue, fast
from fakes.running_worker import RunningWorker
from fakes.waiting import eventually

POINTS = (
    EntryPoint("hostile", "retinue_hostile.plugin", "retinue"),
    EntryPoint("fakes", "fakes.plugin", "retinue"),
    EntryPoint("videos", "fakes.video_service", "retinue"),
)

QUICK = {
    "visibility_timeout_seconds": 120,
    "heartbeat_seconds": 30,
    "detector_timeout_seconds": 10,
    "retry_window_seconds": 10,
    "shutdown_grace_seconds": 5,
    "wait_time_seconds": 0,
}
"""Settings that a test waits for nothing with, unless it wants to."""


HURRIED = Intervals(poll=0.01, first_look=0.01, look=0.01, retry=0.01)
"""Times of jobs that a test waits for nothing with, unless it wants to."""


class Rig:
    """Queue, S3 and history, and workers on them.

    Args:
        history: Where runs go.
        queue: A fresh one by default.
        url: The database's URL, for ``rows``.
        jobs: Open jobs for videos.
    """

    def __init__(
        self,
        history: History,
        queue: MemoryQueue | None = None,
        url: str = "",
        jobs: Jobs | None = None,
    ) -> None:
        self.history = history
        self.jobs = jobs
        self.queue = queue or MemoryQueue()
        self.s3 = MemoryS3()
        self.s3.create_bucket(Bucket=BUCKET)
        self.plugins = Plugins(POINTS)
        self.detectors: list[AnyDetector] = []
        self._url = url

    def upload(self, key: str, data: bytes = b"?", **fields: Any) -> None:
        """Put an object into the bucket, and its event into the queue."""
        put = self.s3.put_object(Bucket=BUCKET, Key=key, Body=data, **fields)
        etag = put["ETag"].strip('"')
        self.queue.send(created(key, etag=etag, size=len(data)))

    def worker(
        self,
        detectors: Mapping[str, Mapping[str, Any]],
        intervals: Intervals = HURRIED,
        **settings: Any,
    ) -> RunningWorker:
        """Return a worker, not started."""
        chosen = Settings(detectors=dict(detectors), **{**QUICK, **settings})
        self.detectors = self.plugins.make(chosen.detectors)
        return RunningWorker(
            lambda: Worker(
                chosen,
                plugins=self.plugins,
                detectors=self.detectors,
                queue=self.queue,
                store=store_on(self.s3, image_limits(chosen)),
                history=self.history,
                jobs=self.jobs,
                intervals=intervals,
            )
        )

    @contextmanager
    def running(
        self, detectors: Mapping[str, Mapping[str, Any]], **settings: Any
    ) -> Iterator[RunningWorker]:
        """Yield a worker at work; stopped at the end, whatever happens."""
        worker = self.worker(detectors, **settings)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop()

    def work_off(
        self,
        detectors: Mapping[str, Mapping[str, Any]],
        *,
        within_seconds: float = 20,
        **settings: Any,
    ) -> None:
        """Run a worker until the queue is empty."""
        with self.running(detectors, **settings):
            self.wait_until_empty(within_seconds)

    def wait_until_empty(self, within_seconds: float = 20) -> None:
        """Wait until every message is deleted or dead."""
        eventually(
            self.queue.empty,
            within_seconds=within_seconds,
            what=f"queue empty: {self.queue.receive_counts()}",
        )

    def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """Ask the database."""
        with psycopg.connect(self._url, row_factory=dict_row) as connection:
            return connection.execute(sql, parameters).fetchall()

    def runs(self) -> list[tuple[str, str, str, str | None]]:
        """Return every run: key, detector, outcome, error code; in that order."""
        return [
            (row["key"], row["detector"], row["outcome"], row["error_code"])
            for row in self.rows(
                "SELECT key, detector, outcome, error_code FROM runs JOIN images USING (image_id) "
                "ORDER BY key, detector, runs.run_id"
            )
        ]

    def outcomes(self, detector: str) -> list[str]:
        """For each run of a detector its error code, or ``"succeeded"``; sorted."""
        return sorted(code or outcome for _, name, outcome, code in self.runs() if name == detector)


def keys(number: int, prefix: str = "image") -> Sequence[str]:
    """Return a number of keys."""
    return [f"{prefix}-{index:03}.jpg" for index in range(number)]


MakeRig = Callable[..., Rig]


def hurried(max_receive_count: int | None = 3) -> MemoryQueue:
    """Return a queue on which hours pass in minutes, for messages requeued with a delay."""
    return MemoryQueue(
        visibility_timeout_seconds=10_000, max_receive_count=max_receive_count, clock=fast(50)
    )
