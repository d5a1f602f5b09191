"""A queue, a Custom Labels account and workers with the real controller, on a virtual clock.

The account is the test endpoint's own store. Only what surrounds the controller is made up:
messages arrive by a trace, a hosted unit works at a fixed rate, and workers die on command.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from retinue_rekognition.custom_model import model_status
from retinue_rekognition_emulator.faults import AwsError
from retinue_rekognition_emulator.versions import Versions
from retinue_sdk import DetectorNotReadyError, ModelStatus, RetriableError
from retinue_workers.hosted_models.controller import RECONCILE_SECONDS, ModelController
from retinue_workers.hosted_models.reaper import Reaped, reap
from retinue_workers.settings.hosted_models import ModelPolicy
from retinue_workers.work import QueueDepth

from fakes.model_sessions import MemoryModelSessions

IMAGES_PER_SECOND = 5.0
"""What an inference unit works off, if a world is not told otherwise."""

POISON_SECONDS = 31.0
"""1 + 2 + 4 + 8 + 16 seconds: the waits between the receives of a poison message, until the worker
records it as failed (``backoff.requeue_seconds``).
"""

IN_FLIGHT_SECONDS = 2.0
"""How long an image is in flight that needs to wait for no other."""

START = 1_700_002_800.0
"""A full hour, at which virtual time begins."""


class Crash(BaseException):
    """The worker is dead."""


@dataclass
class Clock:
    """Virtual time."""

    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class CloudModel:
    """A model version of the endpoint's store, called without HTTP.

    Attributes:
        lost: Whether the next start takes effect and is not answered.
    """

    versions: Versions
    name: str
    usd_per_unit_minute: Decimal = Decimal(4) / 60
    lost: bool = False
    calls: list[str] = field(default_factory=list)

    def describe(self) -> ModelStatus:
        """Ask how it is."""
        self.calls.append("describe")
        version = self.versions.get(self.name)
        return model_status(
            {
                "Status": version.status,
                "StatusMessage": version.message,
                "MinInferenceUnits": version.min_units,
            }
        )

    def start(self, units: int) -> None:
        """Ask for it to be hosted."""
        self.calls.append("start")
        try:
            self.versions.start(self.name, units)
        except AwsError as error:
            raise DetectorNotReadyError(f"{error.code}: {error.message}") from error
        if self.lost:
            self.lost = False
            raise RetriableError("no answer")

    def stop(self) -> None:
        """Ask for it to be stopped."""
        self.calls.append("stop")
        try:
            self.versions.stop(self.name)
        except AwsError as error:
            raise DetectorNotReadyError(f"{error.code}: {error.message}") from error


class Fused:
    """An object whose methods kill the worker: at the n-th call, before or after it took effect."""

    def __init__(self, inner: Any, fuse: "Fuse") -> None:
        self._inner, self._fuse = inner, fuse

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            self._fuse.burn()
            answer = value(*args, **kwargs)
            self._fuse.burn()
            return answer

        return call


@dataclass
class Fuse:
    """The number of steps until a worker dies; ``None`` for no limit."""

    steps: int | None = None

    def burn(self) -> None:
        """Count one step."""
        if self.steps is None:
            return
        self.steps -= 1
        if self.steps < 0:
            raise Crash


@dataclass
class World:
    """One pool with its model."""

    policy: ModelPolicy
    arrivals: Sequence[float] = ()
    poison: Sequence[float] = ()
    rate: float = IMAGES_PER_SECOND
    clock: Clock = field(default_factory=Clock)
    delays: list[float] = field(default_factory=list)
    received_while_down: int = 0

    def __post_init__(self) -> None:
        self.versions = Versions(self.clock)
        self.arn = self.versions.add("birds", "v1").arn
        self.cloud = CloudModel(self.versions, self.arn)
        self.sessions = MemoryModelSessions(self.clock)
        self.coming = deque(sorted(START + at for at in self.arrivals))
        self.coming_poison = deque(sorted(START + at for at in self.poison))
        self.waiting: deque[float] = deque()
        self.bad: list[float | None] = []  # when each poison message in flight is given up
        self.controllers: dict[str, ModelController] = {}
        self.fuses: dict[str, Fuse] = {}
        self.gates: dict[str, str | None] = {}
        self.in_flight: list[float] = []  # when each image arrived that was just answered
        self._made = 0

    def worker(self, steps: int | None = None, queue: str = "queue") -> str:
        """Start a worker that lives for so many steps of its controller."""
        self._made += 1
        name, fuse = f"{queue}/worker-{self._made}", Fuse(steps)
        self.fuses[name], self.gates[name] = fuse, "not looked yet"

        self.controllers[name] = ModelController(
            Fused(self.cloud, fuse),
            Fused(self.sessions, fuse),
            read_depth=self.depth,
            policy=self.policy,
            clock=self.clock,
            detector="rekognition-custom-labels",
            options={},
            holder=name,
        )
        return name

    def depth(self) -> QueueDepth:
        """Return the queue's depth."""
        return QueueDepth(
            len(self.waiting) + sum(done is None for done in self.bad),
            sum(done is not None for done in self.bad) + len(self.in_flight),
        )

    def step(self, seconds: float = RECONCILE_SECONDS) -> None:
        """Let time pass, work, and let each controller reconcile."""
        self.clock.now += seconds
        now = self.clock.now
        while self.coming and self.coming[0] <= now:
            self.waiting.append(self.coming.popleft())
        while self.coming_poison and self.coming_poison[0] <= now:
            self.coming_poison.popleft()
            self.bad.append(None)
        self._work(seconds)
        for name, controller in list(self.controllers.items()):
            try:
                self.gates[name] = controller.reconcile(None)
            except Crash:
                self.kill(name)

    def run(self, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        """Let so much time pass."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.step()
            each()

    def kill(self, name: str) -> None:
        """Remove a worker without notice."""
        del self.controllers[name], self.gates[name]

    def reap(self) -> Sequence[Reaped]:
        """Return the reaper's turn."""
        return reap(
            self.sessions,
            make=lambda _: self.cloud,
            found=[("rekognition-custom-labels", self.cloud)],
            holder="reaper",
            clock=self.clock,
        )

    @property
    def status(self) -> str:
        """Return the model's status."""
        return self.versions.get(self.arn).status

    @property
    def usd(self) -> float:
        """Return AWS's bill until now."""
        return self.versions.billed_unit_seconds(self.arn) / 60 * 4 / 60

    def _work(self, seconds: float) -> None:
        """Workers whose gate is open receive; the model's units limit what they get done."""
        now, version = self.clock.now, self.versions.get(self.arn)
        self.bad = [done for done in self.bad if done is None or done > now]
        self.in_flight = []
        if not any(reason is None for reason in self.gates.values()):
            return
        if version.status != "RUNNING":
            self.received_while_down += len(self.waiting)
            return
        self.bad = [now + POISON_SECONDS if done is None else done for done in self.bad]
        for _ in range(min(len(self.waiting), int(self.rate * seconds * version.min_units))):
            arrived = self.waiting.popleft()
            self.delays.append(now - arrived)
            if now - arrived < IN_FLIGHT_SECONDS:
                self.in_flight.append(arrived)


def trickle(hours: float, every_seconds: float) -> list[float]:
    """Return an image now and then, with some chance in it, the same each time."""
    chance, at, found = random.Random(4), 0.0, []
    while (at := at + chance.uniform(0.5, 1.5) * every_seconds) < hours * 3_600:
        found.append(at)
    return found
