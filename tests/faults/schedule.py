"""Schedules of faults, drawn from a seed so that they can be repeated."""

import random
from collections.abc import Sequence
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
    "sqs deletes nothing": ("sqs", Weather(Breakage.ERROR, 1.0, about="DeleteMessage")),
    "sqs deletes some": ("sqs", Weather(Breakage.PARTLY, 1.0, about="DeleteMessage")),
    "sqs loses deletes": ("sqs", Weather(Breakage.LOSE_ANSWER, 0.5, about="DeleteMessage")),
    "sqs hides nothing": ("sqs", Weather(Breakage.DENY, 1.0, about="ChangeMessageVisibility")),
    "sqs hides some": ("sqs", Weather(Breakage.PARTLY, 1.0, about="ChangeMessageVisibility")),
    "s3 drip 30%": ("s3", Weather(Breakage.DRIP, 0.3)),
    "s3 cut 50%": ("s3", Weather(Breakage.CUT, 0.5)),
    "sqs duplicate 50%": ("sqs", Weather(Breakage.DUPLICATE, 0.5)),
    "sqs shuffle 100%": ("sqs", Weather(Breakage.SHUFFLE, 1.0)),
}
"""What the proxy does to a service for a while."""

FAULTS = (
    "kill",
    "kill all",
    "stop",
    "pause",
    "postgres restarts",
    "postgres crashes",
    "postgres away",
    "postgres read-only",
    "postgres out of connections",
    "postgres ends sessions",
    "postgres freezes",
    "password rotated",
    "images announced again",
    "clock +1 h",
    "clock -1 h",
    "clock +1 d",
    *WEATHERS,
)
"""Every fault by its name; ``inflict`` in ``faults.steps`` knows what each does."""

LASTING = (
    "postgres away",
    "postgres read-only",
    "postgres out of connections",
    "postgres freezes",
    "password rotated",
    *WEATHERS,
)
"""Those that last, so that something else can happen meanwhile."""

_KILLS = ("kill", "kill all", "stop", "pause")


@dataclass(frozen=True, slots=True)
class Step:
    """One fault.

    Attributes:
        after_seconds: How long after the one before was over it begins.
        fault: Its name.
        seconds: How long it lasts.
        meanwhile: What happens on top of it while it lasts, if anything: another fault that lasts
            as long, or a kill in the middle.
    """

    after_seconds: float
    fault: str
    seconds: float
    meanwhile: str | None = None

    def __str__(self) -> str:
        """Return the text for a failed test."""
        head = f"after {self.after_seconds:.2f} s: {self.fault}, for {self.seconds:.2f} s"
        return head if self.meanwhile is None else f"{head}; meanwhile {self.meanwhile}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that happens in one test.

    Attributes:
        seed: What it was drawn from; also decides which requests the proxy strikes.
        images: How many images are announced, in equal parts before each step.
        workers: How many workers run; one that is killed is replaced.
        latency_ms: How long a detection takes.
        concurrency: How many detections a worker makes at once.
        refused: How many more images S3 refuses all the time, announced before those of a step.
        steps: What goes wrong.
    """

    seed: int
    images: int
    workers: int
    latency_ms: int
    concurrency: int
    refused: int
    steps: tuple[Step, ...] = field(default=())

    def __str__(self) -> str:
        """Return the text for a failed test."""
        head = (
            f"schedule of seed {self.seed}: {self.images} images, {self.workers} workers, "
            f"{self.latency_ms} ms a detection, {self.concurrency} at once, {self.refused} refused"
        )
        return "\n".join([head, *(f"  {number}. {s}" for number, s in enumerate(self.steps, 1))])


def draw(seed: int) -> Schedule:
    """Return the schedule of a seed: the same each time, on every machine.

    A kill is as likely as all other faults together, since it can strike between any two lines.
    Half of the faults that last have company: a kill, or another one.
    """
    chance = random.Random(seed)
    steps = tuple(_step(chance) for _ in range(chance.randint(3, 8)))
    return Schedule(
        seed=seed,
        images=chance.choice((40, 80, 160)),
        workers=chance.randint(1, 2),
        latency_ms=chance.choice((0, 5, 50)),
        concurrency=chance.choice((1, 4, 16)),
        refused=chance.choice((0, 1, 3, 12)),
        steps=steps,
    )


def _step(chance: random.Random) -> Step:
    fault = chance.choice(_KILLS if chance.random() < 0.5 else FAULTS)
    meanwhile = None
    if fault in LASTING and chance.random() < 0.5:
        meanwhile = chance.choice(_KILLS if chance.random() < 0.5 else _beside(fault))
    return Step(
        after_seconds=round(chance.uniform(0, 1), 2),
        fault=fault,
        seconds=round(chance.uniform(0.2, 2), 2),
        meanwhile=meanwhile,
    )


def _beside(fault: str) -> Sequence[str]:
    """Return the faults that can last beside a fault: those of other services."""
    service = fault.partition(" ")[0]
    if service == "password":
        service = "postgres"
    return [
        name
        for name in LASTING
        if name.partition(" ")[0] != service and not (service == "postgres" and name[:3] == "pas")
    ]
