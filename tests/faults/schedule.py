"""What goes wrong, in which order: drawn from a seed, so that it can be drawn again."""

import random
from dataclasses import dataclass, field

from faults.proxy import Breakage, Weather

WEATHERS: dict[str, tuple[str, Weather]] = {
    f"{service} {breakage} {rate:.0%}": (service, Weather(breakage, rate))
    for service in ("sqs", "s3")
    for breakage, rate in (
        (Breakage.SLOW, 0.5),
        (Breakage.HANG, 0.3),
        (Breakage.HANG, 1.0),
        (Breakage.RESET, 0.3),
        (Breakage.RESET, 1.0),
        (Breakage.LOSE_ANSWER, 0.3),
        (Breakage.ERROR, 0.3),
        (Breakage.THROTTLE, 0.01),
        (Breakage.THROTTLE, 0.3),
        (Breakage.DENY, 1.0),
    )
} | {
    "sqs duplicate 50%": ("sqs", Weather(Breakage.DUPLICATE, 0.5)),
    "sqs shuffle 100%": ("sqs", Weather(Breakage.SHUFFLE, 1.0)),
}
"""What the proxy does to a service for a while."""

FAULTS = (
    "kill",
    "kill all",
    "stop",
    "postgres restarts",
    "postgres crashes",
    "postgres away",
    "postgres read-only",
    "postgres out of connections",
    "postgres ends sessions",
    "password rotated",
    "images announced again",
    "clock +1 h",
    "clock -1 h",
    "clock +1 d",
    *WEATHERS,
)
"""Every fault by its name; ``inflict`` in ``faults.steps`` knows what each does."""

_KILLS = ("kill", "kill all", "stop")


@dataclass(frozen=True, slots=True)
class Step:
    """One fault.

    Attributes:
        after_seconds: How long after the one before was over it begins.
        fault: Its name.
        seconds: How long it lasts.
    """

    after_seconds: float
    fault: str
    seconds: float

    def __str__(self) -> str:
        """As it is printed when it made a test fail."""
        return f"after {self.after_seconds:.2f} s: {self.fault}, for {self.seconds:.2f} s"


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that happens in one test.

    Attributes:
        seed: What it was drawn from; also decides which requests the proxy strikes.
        images: How many images are announced, in equal parts before each step.
        workers: How many workers run; one that is killed is replaced.
        latency_ms: How long a detection takes.
        concurrency: How many detections a worker makes at once.
        steps: What goes wrong.
    """

    seed: int
    images: int
    workers: int
    latency_ms: int
    concurrency: int
    steps: tuple[Step, ...] = field(default=())

    def __str__(self) -> str:
        """As it is printed when it made a test fail."""
        head = (
            f"schedule of seed {self.seed}: {self.images} images, {self.workers} workers, "
            f"{self.latency_ms} ms a detection, {self.concurrency} at once"
        )
        return "\n".join([head, *(f"  {number}. {s}" for number, s in enumerate(self.steps, 1))])


def draw(seed: int) -> Schedule:
    """The schedule of a seed: the same each time, on every machine.

    A kill is as likely as all other faults together, since it can strike between any two lines.
    """
    chance = random.Random(seed)
    steps = tuple(
        Step(
            after_seconds=round(chance.uniform(0, 1), 2),
            fault=chance.choice(_KILLS if chance.random() < 0.5 else FAULTS),
            seconds=round(chance.uniform(0.2, 2), 2),
        )
        for _ in range(chance.randint(3, 8))
    )
    return Schedule(
        seed=seed,
        images=chance.choice((40, 80, 160)),
        workers=chance.randint(1, 2),
        latency_ms=chance.choice((0, 5, 50)),
        concurrency=chance.choice((1, 4, 16)),
        steps=steps,
    )
