"""The faults of a schedule."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from fakes.events import created
from faults.clock import Clock
from faults.database import Database
from faults.schedule import LASTING, WEATHERS, Schedule, Step
from faults.site import REFUSED, STOPS_WITHIN_SECONDS, Site

PAUSE_SECONDS = 6.0
"""The longest pause of a worker: its messages appear again after four seconds."""

READING = ("weigh", "weigh-later")
"""The detectors that read an image's bytes."""

CLOCKS = {"clock +1 h": 3_600, "clock -1 h": -3_600, "clock +1 d": 86_400}


class Play:
    """A schedule, played on a site.

    Args:
        schedule: What goes wrong.
        site: On what.
        clock: The workers' clock.
    """

    def __init__(self, schedule: Schedule, site: Site, clock: Clock) -> None:
        """Begin nothing yet."""
        self._schedule = schedule
        self._site = site
        self._clock = clock
        self._chance = random.Random(schedule.seed)
        self.detectors: dict[str, dict[str, Any]] = {
            "echo": {
                "latency_ms": schedule.latency_ms,
                "max_concurrency": schedule.concurrency,
            },
            "weigh": {"max_concurrency": min(schedule.concurrency, 4)},
            "weigh-later": {"max_concurrency": schedule.concurrency},
        }
        self.killed = 0

    def play(self, within_seconds: float = 120) -> None:
        """Let it all happen, let all heal, wait until the queue is empty, and hold the history."""
        site, schedule = self._site, self._schedule
        share = schedule.images // (len(schedule.steps) + 1)
        refused = site.upload_refused(schedule.refused)
        site.upload(schedule.images - share * len(schedule.steps), bytes_too=True)
        self._staff()
        for step in schedule.steps:
            site.upload(share, bytes_too=True)
            time.sleep(step.after_seconds)
            self._inflict(step)
            self._staff()
        site.proxy.clear()
        site.until_empty(within_seconds)
        site.stop()
        codes = {(key, name): "access_denied" for key in refused for name in READING}
        site.check(self.detectors, codes=codes)

    def _staff(self) -> None:
        """Have as many workers as there should be."""
        while len(self._site.living()) < self._schedule.workers:
            self._site.start(self.detectors, **self._clock.variables)

    def _inflict(self, step: Step) -> None:
        """Let one fault happen, and end; and what happens meanwhile."""
        if step.fault in LASTING:
            with self._lasting(step.fault, step.seconds):
                if step.meanwhile is None:
                    time.sleep(step.seconds)
                elif step.meanwhile in LASTING:
                    with self._lasting(step.meanwhile, step.seconds):
                        time.sleep(step.seconds)
                else:
                    time.sleep(step.seconds / 2)
                    self._kill(step.meanwhile)
                    time.sleep(step.seconds / 2)
        elif step.fault in CLOCKS:
            self._clock.step(CLOCKS[step.fault])
            time.sleep(step.seconds)
        elif step.fault == "images announced again":
            self._announce_again()
        elif step.fault.startswith("postgres"):
            with afflicted(step.fault, self._site.database, self._site.name):
                time.sleep(step.seconds)
        else:
            self._kill(step.fault)

    @contextmanager
    def _lasting(self, fault: str, seconds: float) -> Iterator[None]:
        """Yield a fault for as long as the block."""
        if fault in WEATHERS:
            service, weather = WEATHERS[fault]
            with self._site.proxy.weather(service, replace(weather, seconds=seconds)):
                yield
        else:
            with afflicted(fault, self._site.database, self._site.name):
                yield

    def _kill(self, fault: str) -> None:
        workers = self._site.living()
        match fault:
            case "kill" | "kill all":
                for worker in workers if fault == "kill all" else workers[:1]:
                    self._site.kill(worker)
                    self.killed += 1
            case "pause":
                for worker in workers[:1]:
                    self._site.pause(worker, self._chance.uniform(0.2, PAUSE_SECONDS))
            case "stop":
                if workers:
                    self._site.terminate(workers[0], STOPS_WITHIN_SECONDS, early=True)
            case _:
                raise ValueError(f"no such fault: {fault}")

    def _announce_again(self) -> None:
        """S3 and SQS may tell a thing twice, later, and in another order."""
        site = self._site
        served = [key for key in site.sent if not key.startswith(REFUSED)]
        keys = self._chance.sample(served, len(served) // 2)
        site.announce([created(k, bucket=site.bucket, etag=site.etag, size=21) for k in keys])


@contextmanager
def afflicted(fault: str, database: Database, name: str) -> Any:
    """Something is wrong with the database inside the block, and nothing after it."""
    after: Callable[[], object] = lambda: None  # noqa: E731
    within: Any = nullcontext()
    match fault:
        case "postgres restarts":
            database.restart()
        case "postgres crashes":
            database.crash()
            database.start()
        case "postgres away":
            database.stop()
            after = database.start
        case "postgres read-only":
            database.set_read_only(name, read_only=True)
            after = lambda: database.set_read_only(name, read_only=False)  # noqa: E731
        case "postgres out of connections":
            within = database.crowded(name)
        case "postgres ends sessions":
            database.cut()
        case "postgres freezes":
            database.freeze()
            after = database.thaw
        case "password rotated":
            database.rotate_password()
            database.cut()
            after = database.publish_password
        case _:
            raise ValueError(f"no such fault: {fault}")
    try:
        with within:
            yield
    finally:
        after()
