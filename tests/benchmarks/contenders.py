"""The programs that drain the queue: Retinue's worker, and hand-written ones."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.backlog import Site, event_bodies
from benchmarks.environments import image_python, peers_python


@dataclass(frozen=True)
class Retinue:
    """The worker, as ECS runs it, with Rekognition's labels.

    Attributes:
        calls: How many calls of the detector may be in flight, by worker.
        processes: How many workers there are.
        settings: Settings other than the defaults.
    """

    calls: int = 64
    processes: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "Retinue" if self.processes == 1 else f"Retinue, {self.processes} workers"

    def command(self) -> Sequence[str]:
        return [str(image_python()), "-m", "retinue_workers"]

    def environment(self, site: Site) -> Mapping[str, str]:
        options = {"max_concurrency": self.calls, "requests_per_second": 100_000}
        return {
            "RETINUE_QUEUE_URL": site.queue_url,
            "RETINUE_DATABASE_URL": site.database_url,
            "RETINUE_DETECTORS": json.dumps({"rekognition-labels": options}),
            "RETINUE_MAX_IN_FLIGHT": str(max(40, 3 * self.calls)),
            **self.settings,
        }

    def bodies(self, number: int) -> Sequence[str]:
        return event_bodies(number)


@dataclass(frozen=True)
class Peer:
    """A program of the folder ``peers``.

    Attributes:
        name: What it is called in the table.
        module: Its file, without the suffix.
        arguments: What it is given.
    """

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    processes: int = 1

    def command(self) -> Sequence[str]:
        return [str(peers_python()), "-m", f"benchmarks.peers.{self.module}", *self.arguments]

    def environment(self, site: Site) -> Mapping[str, str]:
        del site
        return {"PYTHONPATH": "."}

    def bodies(self, number: int) -> Sequence[str]:
        return event_bodies(number)


BOTO3 = tuple(
    Peer(f"boto3, {threads} threads", "boto3_threads", (str(threads),)) for threads in (16, 64)
)
AIOBOTOCORE = tuple(
    Peer(f"aiobotocore, {tasks} tasks", "aiobotocore_tasks", (str(tasks),)) for tasks in (64, 256)
)
BARE, BARE_256 = (
    Peer("bare prototype, no error handling", "bare_prototype", (tasks,)) for tasks in ("64", "256")
)
