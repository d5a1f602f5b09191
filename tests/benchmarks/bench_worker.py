"""The worker under load, against what one would write without it, and against its limits.

``make bench BENCHMARKS=worker`` prints the figures and writes them to benchmarks/worker.json and
docs/performance.md. Worker, baselines, services and PostgreSQL are processes of their own, and
share two cores. Each round measures everything once, one after the other, so that a slow moment of
the machine touches all alike; figures are medians of rounds::

    PYTHONPATH=tests nice -n -10 python -m benchmarks.bench_worker [--rounds 3] [--only PART]
"""

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.backlog import Contender, Drained, drain
from benchmarks.contenders import (
    AIOBOTOCORE,
    BARE,
    BARE_256,
    BARE_WITHOUT_GC,
    BOTO3,
    Retinue,
)
from benchmarks.database import postgres
from benchmarks.freshness import p99_seconds
from benchmarks.local_model import LOOP, WORKER, rates
from benchmarks.page import with_tables

ROOT = Path(__file__).parents[2]
WRITTEN = ROOT / "benchmarks" / "worker.json"
PAGE = ROOT / "docs" / "performance.md"
CORES = 2
LATENCY_MS = 200.0
IN_FLIGHT = 256
GENTLE_PER_SECOND = 50.0
GENTLE_SECONDS = 20.0
LOCAL_IMAGES = 400
SERVICES_SPARE = 0.8
"""Part of a core; a service that takes more might be what is measured."""

RETINUE = Retinue()
TWO_WORKERS = Retinue(processes=2)
BACKLOGS: Sequence[tuple[Contender, int]] = (
    (RETINUE, 6_000),
    (BOTO3[0], 4_000),
    (BOTO3[1], 4_000),
    (AIOBOTOCORE[0], 5_000),
    (AIOBOTOCORE[1], 8_000),
    (BARE, 30_000),
    (BARE_WITHOUT_GC, 30_000),
    (TWO_WORKERS, 8_000),
)
"""Who drains a backlog as fast as it can, and of how many images."""
SLOW_CALLS: Sequence[tuple[Contender, int]] = (
    (Retinue(calls=IN_FLIGHT), 8_000),
    (AIOBOTOCORE[1], 8_000),
    (BARE_256, 10_000),
)
"""Who drains one while each call takes ``LATENCY_MS``."""
DEFAULTS: Sequence[tuple[Contender, int]] = (
    (Retinue(calls=None), 800),
    (Retinue(calls=None, processes=2), 1_600),
)
"""Who drains one with the default settings, while each call takes ``LATENCY_MS``."""

Samples = dict[str, dict[str, list[float]]]
"""By contender and quantity, what each round gave."""
Take = Callable[[str, str, float], None]
"""Takes a contender, a quantity and its value."""


@dataclass(frozen=True)
class Figure:
    """A row of the table: what was measured, what it should be, and what each round gave."""

    name: str
    rounds: tuple[float, ...]
    sign: str = ""
    target: float | None = None
    goal: float | None = None

    @property
    def median(self) -> float:
        """Return the middle one."""
        return statistics.median(self.rounds)

    @property
    def reached(self) -> str:
        """``goal``, ``target``, ``missed``, or nothing if there is no target."""
        for name, bound in (("goal", self.goal), ("target", self.target)):
            if bound is not None and (
                self.median >= bound if self.sign == "≥" else self.median <= bound
            ):
                return name
        return "" if self.target is None else "missed"


def at_least(
    name: str, rounds: Sequence[float], target: float, goal: float | None = None
) -> Figure:
    """Return a figure that should not be lower."""
    return Figure(name, tuple(rounds), "≥", target, goal)


def at_most(name: str, rounds: Sequence[float], target: float, goal: float | None = None) -> Figure:
    """Return a figure that should not be higher."""
    return Figure(name, tuple(rounds), "≤", target, goal)


def backlogs(take: Take, scale: float, server_url: str) -> None:
    """Measure each contender's cost of an image, and its images per second."""
    for who, images in BACKLOGS:
        one = _drained(who, int(images * scale), 0, server_url)
        take(who.name, "images_per_second", one.images_per_second)
        take(who.name, "cpu_ms", one.cpu_ms)
        take(who.name, "postgres_cpu_ms", one.postgres_cpu_ms)
        take(who.name, "resident_mb", one.resident_bytes / 1e6)
        take(who.name, "start_seconds", one.start_seconds)
        take(who.name, "sqs_calls", one.sqs_calls)
        take(who.name, "detector_calls", one.detector_calls)
        take(who.name, "services_busy", one.services_busy)
        take(who.name, "cores", one.cores)


def slow_calls(take: Take, scale: float, server_url: str) -> None:
    """Measure each contender's share of the throughput that 256 calls in flight allow."""
    for who, images in SLOW_CALLS:
        one = _drained(who, int(images * scale), LATENCY_MS, server_url)
        take(who.name, "in_flight", one.images_per_second / (IN_FLIGHT / (LATENCY_MS / 1_000)))


def defaults(take: Take, scale: float, server_url: str) -> None:
    """Measure one worker and two as most users run them: they wait for the service."""
    for who, images in DEFAULTS:
        one = _drained(who, int(images * scale), LATENCY_MS, server_url)
        take(who.name, "images_per_second", one.images_per_second)
        take(who.name, "cpu_ms", one.cpu_ms)
        take(who.name, "postgres_cpu_ms", one.postgres_cpu_ms)
        take(who.name, "resident_mb", one.resident_bytes / 1e6)


def freshness(take: Take, scale: float, server_url: str) -> None:
    """How long an upload takes to become a row, at a gentle pace."""
    p99 = p99_seconds(
        server_url,
        per_second=GENTLE_PER_SECOND,
        seconds=GENTLE_SECONDS * scale,
        latency_ms=LATENCY_MS,
    )
    take(RETINUE.name, "late_ms", p99 * 1_000 - LATENCY_MS)
    say(f"p99 of upload to row: {p99 * 1_000 - LATENCY_MS:.1f} ms beyond the service")


def local_model(take: Take, scale: float, server_url: str) -> None:
    """Measure a model on this machine against a loop with a thread per core."""
    for who, images_per_second in rates(int(LOCAL_IMAGES * scale), server_url).items():
        take(who, "images_per_second", images_per_second)
        say(f"{who}: {images_per_second:.1f} images/s")


PARTS: Mapping[str, Callable[[Take, float, str], None]] = {
    "backlogs": backlogs,
    "slow_calls": slow_calls,
    "defaults": defaults,
    "freshness": freshness,
    "local_model": local_model,
}


def figures(samples: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Figure]:
    """Return the table's figures, as far as they were measured; ratios are of the same round."""

    def measured(who: str, what: str) -> Sequence[float]:
        return samples.get(who, {}).get(what, ())

    def ours(what: str) -> Sequence[float]:
        return measured(RETINUE.name, what)

    def ratio(above: Sequence[float], below: Sequence[float]) -> list[float]:
        return [a / b for a, b in zip(above, below, strict=False)]  # a part may be missing

    def better(better_of: Callable[..., float], who: Sequence[Contender], what: str) -> list[float]:
        return [
            better_of(both) for both in zip(*(measured(w.name, what) for w in who), strict=True)
        ]

    speed, cost = ours("images_per_second"), ours("cpu_ms")
    boto3_speed = better(max, BOTO3, "images_per_second")
    boto3_cost = better(min, BOTO3, "cpu_ms")
    aiobotocore_cost = better(min, AIOBOTOCORE, "cpu_ms")
    bare_cost, without_gc = (measured(who.name, "cpu_ms") for who in (BARE, BARE_WITHOUT_GC))
    two_workers = measured(TWO_WORKERS.name, "images_per_second")
    default, two_default = (measured(who.name, "images_per_second") for who, _ in DEFAULTS)
    local = measured(WORKER, "images_per_second")
    loop = measured(LOOP, "images_per_second")
    found = [
        at_least("images/s, ÷ the better boto3", ratio(speed, boto3_speed), 2.5, 4),
        at_least("images per core-second, ÷ the better boto3", ratio(boto3_cost, cost), 3, 5),
        at_least("the same, ÷ the better aiobotocore", ratio(aiobotocore_cost, cost), 2.3, 4),
        at_most("worker CPU, ÷ bare prototype", ratio(cost, bare_cost), 5, 3),
        Figure("the same, without its garbage collection", tuple(ratio(cost, without_gc))),
        Figure("Postgres CPU ms an image", tuple(ours("postgres_cpu_ms"))),
        at_least("of 256 calls in flight, 200 ms each", ours("in_flight"), 0.95, 0.98),
        at_least("images/s of two workers, ÷ one, 200 ms a call", ratio(two_default, default), 1.5),
        Figure("the same, immediate answers", ratio(two_workers, speed)),
        Figure("the same, if both cores were busy", tuple(CORES / used for used in ours("cores"))),
        at_most("upload to row, p99 beyond the service, ms", ours("late_ms"), 15, 7),
        at_most("start to first receive, s", ours("start_seconds"), 0.8, 0.5),
        at_most("resident memory, MB", ours("resident_mb"), 90, 60),
        at_most("SQS calls an image", ours("sqs_calls"), 0.21),
        at_least("local model, ÷ a loop with a thread a core", ratio(local, loop), 0.95, 0.98),
    ]
    return [one for one in found if one.rounds]


def contenders_table(samples: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return medians of all contenders, as docs/performance.md shows them."""
    columns = {
        "images/s": "images_per_second",
        "CPU ms an image": "cpu_ms",
        "Postgres CPU ms an image": "postgres_cpu_ms",
        "memory, MB": "resident_mb",
        "of 256 in flight": "in_flight",
    }
    lines = [f"| medians | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for who, _ in (*BACKLOGS, *DEFAULTS):
        if who.name not in samples:
            continue
        cells = [
            _shown(statistics.median(values)) if values else "–"
            for values in (samples[who.name].get(what) for what in columns.values())
        ]
        lines.append(f"| {who.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def figures_table(figures: Sequence[Mapping[str, Any]]) -> str:
    """Return the figures as docs/performance.md shows them."""
    lines = ["| figure | required | goal | median | rounds |", "|---|---|---|---|---|"]
    for one in figures:
        bounds = " | ".join(
            "" if one[bound] is None else f"{one['sign']} {one[bound]:g}"
            for bound in ("target", "goal")
        )
        rounds = ", ".join(_shown(value) for value in one["rounds"])
        lines.append(f"| {one['name']} | {bounds} | {_shown(one['median'])} | {rounds} |")
    return "\n".join(lines) + "\n"


def tables(written: Mapping[str, Any]) -> dict[str, str]:
    """Return what docs/performance.md shows of a report, by the names of its places."""
    return {
        "contenders": contenders_table(written["samples"]),
        "figures": figures_table(written["figures"]),
    }


def say(text: str) -> None:
    """Tell how it goes."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description="The worker under load.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of images")
    parser.add_argument(
        "--only", choices=PARTS, action="append", help="all by default; some are only printed"
    )
    chosen = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    samples: Samples = defaultdict(lambda: defaultdict(list))
    began = time.monotonic()
    with postgres(track_commit_timestamp="on") as server_url:
        for number in range(chosen.rounds):
            for name in chosen.only or PARTS:
                minutes = (time.monotonic() - began) / 60
                say(f"-- round {number + 1} of {chosen.rounds}, {name}, after {minutes:.1f} min")
                PARTS[name](
                    lambda who, what, value: samples[who][what].append(value),
                    chosen.scale,
                    server_url,
                )
    found = figures(samples)
    for one in found:
        bounds = f"{one.sign} {one.target:g}" if one.target is not None else ""
        say(f"{one.name:45} {bounds:>8} {_shown(one.median):>8}  {one.reached}")
    if not chosen.only:
        _write(samples, found)


def _write(samples: Samples, found: Sequence[Figure]) -> None:
    written = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": round(os.getloadavg()[0], 1),
        "figures": [asdict(one) | {"median": one.median, "reached": one.reached} for one in found],
        "samples": samples,
    }
    text = json.dumps(written, indent=1, ensure_ascii=False)
    WRITTEN.write_text(text + "\n", encoding="utf-8")
    written = json.loads(text)
    PAGE.write_text(with_tables(PAGE.read_text("utf-8"), tables(written)), encoding="utf-8")


def _drained(who: Contender, images: int, latency_ms: float, server_url: str) -> Drained:
    one = drain(who, images, latency_ms, server_url)
    say(
        f"{who.name}: {one.images_per_second:.0f} images/s, {one.cpu_ms:.3f} ms CPU an image, "
        f"Postgres {one.postgres_cpu_ms:.3f}"
    )
    if one.detector_calls != 1:
        raise RuntimeError(f"{who.name} made {one.detector_calls:.3f} detector calls an image")
    if one.services_busy > SERVICES_SPARE:
        raise RuntimeError(f"a service took {one.services_busy:.2f} of a core: it is the limit")
    return one


def _shown(value: float) -> str:
    """Return a number with three digits."""
    digits = max(0, 2 - math.floor(math.log10(value))) if value >= 1 else 3
    return f"{value:,.{digits}f}"


if __name__ == "__main__":
    main()
