"""The reference state machine, as the project's brief describes it, on the same virtual clock.

Once an hour it reads the queue's count, of which it looks at the first character only. If that is
no zero, it starts the model with one unit, waits until it runs, and lets messages be processed; at
the next full hour it looks again, and stops the model if no message is visible, whether or not some
are in flight. A message that fails becomes visible again until the queue drops it after four days.
Starts are assumed to succeed, and its own executions never to die: both are kind to it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from retinue_rekognition.endpoint.versions import Versions

from fakes.model_world import IMAGES_PER_SECOND, START, Clock

HOUR = 3_600.0
RETENTION_SECONDS = 4 * 86_400.0
RETRY_SECONDS = 30.0
"""Default visibility timeout of SQS: how long a poison message is in flight after each failure."""


@dataclass
class ReferenceMachine:
    """A queue, a model, and the machine between them."""

    arrivals: Sequence[float] = ()
    poison: Sequence[float] = ()
    rate: float = IMAGES_PER_SECOND
    clock: Clock = field(default_factory=Clock)
    delays: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.versions = Versions(self.clock)
        self.arn = self.versions.add("birds", "v1").arn
        self.coming = deque(sorted(START + at for at in self.arrivals))
        self.waiting: deque[float] = deque()
        self.bad = [START + at for at in self.poison]  # when each is visible (again)
        self.sent = list(self.bad)
        self.next_look = START + HOUR

    @property
    def usd(self) -> float:
        """What AWS bills until now."""
        return self.versions.billed_unit_seconds(self.arn) / 60 * 4 / 60

    def step(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now += seconds
        now = self.clock.now
        while self.coming and self.coming[0] <= now:
            self.waiting.append(self.coming.popleft())
        version = self.versions.get(self.arn)
        if version.status == "RUNNING":
            for _ in range(min(len(self.waiting), int(self.rate * seconds))):
                self.delays.append(now - self.waiting.popleft())
            self.bad = [now + RETRY_SECONDS if at <= now else at for at in self.bad]
        kept = [
            (at, sent)
            for at, sent in zip(self.bad, self.sent, strict=True)
            if now - sent < RETENTION_SECONDS
        ]
        self.bad, self.sent = [at for at, _ in kept], [sent for _, sent in kept]
        if now >= self.next_look:
            self.next_look += HOUR
            visible = len(self.waiting) + sum(at <= now for at in self.bad)
            first_character = str(visible)[0]
            if first_character != "0" and version.status in {"TRAINING_COMPLETED", "STOPPED"}:
                self.versions.start(self.arn, 1)
            elif first_character == "0" and version.status == "RUNNING":
                self.versions.stop(self.arn)

    def run(self, seconds: float, step_seconds: float = 5.0) -> None:
        """Let so much time pass."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.step(step_seconds)
