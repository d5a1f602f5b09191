"""The reference state machine on the same virtual clock, as AWS publishes it.

Every hour an execution reads the queue's count, of which it looks at the first character only, and
at nothing that is in flight. If that is no zero, it has the model started with one unit, waits for
15 minutes, switches the queue's trigger on, and waits for 59 minutes more. Then it looks again:
without a visible message it switches the trigger off and stops the model, otherwise it waits for
59 minutes again. A message that fails is visible again after a minute, until the queue drops it
after four days. These numbers are those of ``template.yaml`` in
https://github.com/aws-samples/amazon-rekognition-custom-labels-batch-processing

``LEAN`` is the same machine without the waste in its waiting: messages are received as soon as the
model runs, and the queue is looked at again at the next full hour. Both are treated kindly: starts
succeed, executions never die, and the functions that ask the model are never throttled.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from retinue_rekognition_emulator.versions import Versions

from fakes.model_world import IMAGES_PER_SECOND, START, Clock

HOUR = 3_600.0
RETENTION_SECONDS = 4 * 86_400.0
RETRY_SECONDS = 60.0
"""The queue's visibility timeout: how long a poison message is in flight after each failure."""


@dataclass(frozen=True)
class Waits:
    """The waits of an execution, in seconds.

    Attributes:
        start: After the model's start was requested.
        keep: After the trigger was switched on.
        again: When messages are left then.
    """

    start: float
    keep: float
    again: float


PUBLISHED = Waits(900.0, 3_540.0, 3_540.0)
LEAN = Waits(600.0, 3_000.0, HOUR)


@dataclass
class ReferenceMachine:
    """A queue, a model, and the machine between them."""

    arrivals: Sequence[float] = ()
    poison: Sequence[float] = ()
    rate: float = IMAGES_PER_SECOND
    waits: Waits = PUBLISHED
    clock: Clock = field(default_factory=Clock)
    delays: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.versions = Versions(self.clock)
        self.arn = self.versions.add("birds", "v1").arn
        self.coming = deque(sorted(START + at for at in self.arrivals))
        self.waiting: deque[float] = deque()
        self.bad = [START + at for at in self.poison]  # when each is visible (again)
        self.sent = list(self.bad)
        self.next_execution = START + HOUR
        self.trigger_on = False
        self.enable_at: float | None = None
        self.check_at: float | None = None

    @property
    def usd(self) -> float:
        """Return AWS's bill until now."""
        return self.versions.billed_unit_seconds(self.arn) / 60 * 4 / 60

    def step(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now += seconds
        now = self.clock.now
        while self.coming and self.coming[0] <= now:
            self.waiting.append(self.coming.popleft())
        if self.trigger_on:
            self._work(int(self.rate * seconds))
        kept = [
            (at, sent)
            for at, sent in zip(self.bad, self.sent, strict=True)
            if now - sent < RETENTION_SECONDS
        ]
        self.bad, self.sent = [at for at, _ in kept], [sent for _, sent in kept]
        if self.enable_at is not None and now >= self.enable_at:
            self.trigger_on = True
            self.enable_at, self.check_at = None, now + self.waits.keep
        if self.check_at is not None and now >= self.check_at:
            self.check_at = now + self.waits.again
            if not self._incoming():
                self.trigger_on, self.check_at = False, None
                self.versions.stop(self.arn)
        if now >= self.next_execution:
            self.next_execution += HOUR
            if self._incoming() and not self.trigger_on and self.enable_at is None:
                self.versions.start(self.arn, 1)
                self.enable_at = now + self.waits.start

    def run(self, seconds: float, step_seconds: float = 5.0) -> None:
        """Let so much time pass."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.step(step_seconds)

    def _work(self, images: int) -> None:
        now = self.clock.now
        for _ in range(min(len(self.waiting), images)):
            self.delays.append(now - self.waiting.popleft())
        self.bad = [now + RETRY_SECONDS if at <= now else at for at in self.bad]

    def _incoming(self) -> bool:
        """Return its check of the queue."""
        visible = len(self.waiting) + sum(at <= self.clock.now for at in self.bad)
        return str(visible)[0] != "0"
