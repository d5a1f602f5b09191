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
        calls: How many calls of the detector may be in flight, by worker; ``None`` for the default,
            of messages in flight, too.
        processes: How many workers there are.
        settings: Settings other than the defaults.
    """

    calls: int | None = 64
    processes: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        workers = "" if self.processes == 1 else f", {self.processes} workers"
        return f"Retinue{workers}{', defaults' if self.calls is None else ''}"

    def command(self) -> Sequence[str]:
        return [str(image_python()), "-m", "retinue_workers"]

    def environment(self, site: Site) -> Mapping[str, str]:
        options, settings = {"requests_per_second": 100_000}, {}
        if self.calls is not None:
            options["max_concurrency"] = self.calls
            settings["RETINUE_MAX_IN_FLIGHT"] = str(max(40, 3 * self.calls))
        return {
            "RETINUE_QUEUE_URL": site.queue_url,
            "RETINUE_DATABASE_URL": site.database_url,
            "RETINUE_DETECTORS": json.dumps({"rekognition-labels": options}),
            **settings,
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
BARE_WITHOUT_GC = Peer("the same, no garbage collection", "bare_prototype", ("64", "without-gc"))
