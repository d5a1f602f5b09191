"""Measure the cost and the waits of a Custom Labels model, against the reference machine.

``python -m benchmarks.bench_models`` (from tests/) prints the table and writes
benchmarks/models.json. Time is virtual. Controller, policies and reaper are the real ones.
The model takes 10 minutes to start and 2 to stop, and costs $4 an hour and unit from the request of
its start to the end of its stop.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog
from fakes.model_crashes import CrashRun, crash_run
from fakes.model_world import World, trickle
from fakes.reference_machine import LEAN, PUBLISHED, ReferenceMachine
from retinue_workers.settings.hosted_models import ModelPolicy

DAY = 86_400.0
TAIL = 3 * 3_600.0
"""How long is waited after a trace, for what is left."""

POLICIES = {
    "at once": ModelPolicy(cooldown_seconds=0),
    "default": ModelPolicy(),
    "patient": ModelPolicy(cooldown_seconds=2_700),
}
"""The fastest, the settings' own, and one that waits longer for images to come together."""


@dataclass(frozen=True)
class Trace:
    """Messages by the second in which they arrive, over so many seconds."""

    name: str
    seconds: float
    arrivals: tuple[float, ...] = ()
    poison: tuple[float, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The result of a trace.

    Attributes:
        usd: Dollars, if minutes cost from the request of a start to the end of the stop.
        usd_running: Dollars, if they cost only while the status is RUNNING.
        p95_minutes: Of the time from a message's arrival to its answer; ``None`` without images.
        unanswered: Images that were not answered in the end.
    """

    trace: str
    images_per_second: float
    who: str
    usd: float
    usd_running: float
    p95_minutes: float | None
    images: int
    unanswered: int


def traces() -> list[Trace]:
    """Return the traces of the comparison; the same each time."""
    bursts = tuple(hour * 3_600.0 + 600 + image * 0.5 for hour in range(24) for image in range(200))
    return [
        Trace("steady trickle: one in 5 minutes", DAY, tuple(trickle(24, 300))),
        Trace("dense trickle: one in 20 seconds", DAY, tuple(trickle(24, 20))),
        Trace("sparse trickle: one in 90 minutes", DAY, tuple(trickle(24, 5_400))),
        Trace("hourly bursts of 200", DAY, bursts),
        Trace("one-off batch of 10,000", DAY / 2, tuple(1_000.0 + n * 0.01 for n in range(10_000))),
        Trace("idle week", 7 * DAY),
        Trace("a poison message", 5 * DAY, (), (1_000.0,)),
    ]


def p95(delays: Sequence[float]) -> float | None:
    """Nearest rank, in minutes."""
    ranked = sorted(delays)
    return ranked[math.ceil(0.95 * len(ranked)) - 1] / 60 if ranked else None


def compare(trace: Trace, rate: float) -> list[Outcome]:
    """Return the reference machine and our policies on one trace."""
    found = []
    for name, waits in (("reference", PUBLISHED), ("lean", LEAN)):
        reference = ReferenceMachine(trace.arrivals, trace.poison, rate, waits)
        reference.run(trace.seconds + TAIL)
        found.append(_outcome(trace, rate, name, reference))
    for name, policy in POLICIES.items():
        world = World(policy, trace.arrivals, trace.poison, rate)
        world.worker()
        world.run(trace.seconds + TAIL)
        assert world.received_while_down == 0
        found.append(_outcome(trace, rate, name, world))
    return found


def _outcome(trace: Trace, rate: float, who: str, ran: World | ReferenceMachine) -> Outcome:
    count, versions = len(trace.arrivals), ran.versions
    around = versions.get(ran.arn).starts * (versions.start_seconds + versions.stop_seconds)
    running = (versions.billed_unit_seconds(ran.arn) - around) / 3_600 * 4
    left = count - len(ran.delays)
    return Outcome(
        trace.name, rate, who, round(ran.usd, 4), round(running, 4), p95(ran.delays), count, left
    )


def crashes(runs: int) -> list[CrashRun]:
    """Simulate runs with random crashes, by seeds from 0 on."""
    found = []
    for seed in range(runs):
        found.append(crash_run(seed))
        if (seed + 1) % 100 == 0:
            sys.stderr.write(f"{seed + 1} of {runs} runs with crashes\n")
    return found


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Compare, print, write."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crash-runs", type=int, default=1_000)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/models.json"))
    chosen = parser.parse_args()
    outcomes: list[Outcome] = []
    tell(f"{'trace':36}{'images/s':>9}  {'who':10}{'$':>9}{'RUNNING':>9}{'p95 min':>9}{'left':>6}")
    for rate in (5.0, 7.0, 10.0):
        for trace in traces():
            if rate != 5.0 and not trace.name.startswith("one-off"):
                continue
            for one in compare(trace, rate):
                outcomes.append(one)
                wait = "" if one.p95_minutes is None else f"{one.p95_minutes:.1f}"
                tell(
                    f"{one.trace:36}{rate:>9g}  {one.who:10}{one.usd:>9.2f}"
                    f"{one.usd_running:>9.2f}{wait:>9}{one.unanswered:>6}"
                )
    runs = crashes(chosen.crash_runs)
    total = {name: sum(getattr(run, name) for run in runs) for name in asdict(runs[0])}
    tell(
        f"{len(runs)} runs: {total['deaths']} workers died, {total['reaped']} models were reaped; "
        f"of {total['hosted_seconds'] / 60:.0f} model-minutes {total['leaked_seconds'] / 60:.1f} "
        "were leaked"
    )
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    told = {
        "outcomes": [asdict(one) for one in outcomes],
        "crash_runs": len(runs),
        "crashes": total,
    }
    chosen.output.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
