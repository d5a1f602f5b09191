"""The worker under load, against what one would write without it, and against its limits.

``python -m benchmarks.bench_worker`` (from tests/) prints the figures, and writes them to
benchmarks/worker.json, to benchmarks/worker.md as docs/performance.md shows them, and as a plot to
worker-load.svg in benchmarks/ and docs/. Worker, baselines and services are processes of their own;
PostgreSQL is the embedded one, and processor time is that of the worker, or of the baseline, alone.
Rounds alternate, and the table has their medians::

    PYTHONPATH=tests nice -n -10 python -m benchmarks.bench_worker [--rounds 3] [--only ROW]
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.backlog import Contender, Drained, drain
from benchmarks.contenders import Boto3Threads, Celery, Retinue
from benchmarks.database import postgres
from benchmarks.freshness import p99_seconds
from benchmarks.local_model import rates
from benchmarks.worker_plot import plot

ROOT = Path(__file__).parents[2]
LATENCY_MS = 200.0
IN_FLIGHT = 256
GENTLE_PER_SECOND = 50.0
ROWS = ("cores", "latency", "freshness", "local")


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    Attributes:
        name: What was measured.
        target: What it should reach, as a text.
        rounds: What each round gave.
        reached: Whether the median is what it should be; ``None`` where it is for comparison.
    """

    name: str
    target: str
    rounds: tuple[float, ...]
    reached: bool | None

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.rounds)


def at_least(name: str, target: float, rounds: list[float]) -> Figure:
    """A figure that should not be lower."""
    reached = statistics.median(rounds) >= target
    return Figure(name, f"≥ {target:g}", tuple(rounds), reached)


def at_most(name: str, target: float, rounds: list[float]) -> Figure:
    """A figure that should not be higher."""
    reached = statistics.median(rounds) <= target
    return Figure(name, f"≤ {target:g}", tuple(rounds), reached)


def cores(
    rounds: int, scale: float, server_url: str
) -> tuple[list[Figure], dict[str, list[float]]]:
    """What an image costs: the worker's processor time beside the baselines', at 0 ms."""
    contenders: list[tuple[Contender, int]] = [
        (Retinue(), 2_000),
        (Boto3Threads(), 1_000),
        (Celery(), 400),
    ]
    drained: dict[str, list[Drained]] = {who.name: [] for who, _ in contenders}
    for _ in range(rounds):
        for who, images in contenders:
            one = drain(who, int(images * scale), 0, server_url)
            if one.detector_calls < 1:
                raise RuntimeError(f"{who.name} looked at {one.detector_calls:.0%} of the images")
            say(f"{who.name}: {one.cpu_ms:.2f} ms of processor time an image")
            drained[who.name].append(one)
    ours, threads, celery = drained.values()
    figures = [
        at_least(
            "images per core-second, against boto3 and 64 threads",
            2,
            [theirs.cpu_ms / mine.cpu_ms for mine, theirs in zip(ours, threads, strict=True)],
        ),
        at_least(
            "images per core-second, against Celery on SQS",
            6,
            [theirs.cpu_ms / mine.cpu_ms for mine, theirs in zip(ours, celery, strict=True)],
        ),
        at_most("CPU ms an image, worker only", 0.8, [one.cpu_ms for one in ours]),
        at_most("SQS calls an image, backlog", 0.21, [one.sqs_calls for one in ours]),
        Figure(
            "detector calls an image",
            "1",
            tuple(one.detector_calls for one in ours),
            all(one.detector_calls == 1 for one in ours),
        ),
        at_most("seconds from start to first receive", 1, [one.start_seconds for one in ours]),
        at_most("resident memory, MB", 100, [one.resident_bytes / 1e6 for one in ours]),
    ]
    return figures, {name: [one.cpu_ms for one in all_] for name, all_ in drained.items()}


def latency(rounds: int, scale: float, server_url: str) -> list[Figure]:
    """How much of what 256 calls in flight allow is reached."""
    ceiling = IN_FLIGHT / (LATENCY_MS / 1_000)
    parts = []
    for _ in range(rounds):
        one = drain(Retinue(calls=IN_FLIGHT), int(5_000 * scale), LATENCY_MS, server_url)
        say(
            f"{one.images_per_second:.0f} images a second of {ceiling:.0f}, {one.cpu_ms:.2f} ms CPU"
        )
        parts.append(one.images_per_second / ceiling)
    return [at_least("of 256 calls in flight / 200 ms", 0.9, parts)]


def freshness(rounds: int, scale: float, server_url: str) -> list[Figure]:
    """How long an upload takes to become a row, at a gentle pace."""
    late_ms = []
    for _ in range(rounds):
        p99 = p99_seconds(
            server_url,
            per_second=GENTLE_PER_SECOND,
            seconds=20 * scale,
            latency_ms=LATENCY_MS,
        )
        late_ms.append(p99 * 1_000 - LATENCY_MS)
        say(f"p99 of upload to row: {late_ms[-1]:.1f} ms beyond the service's {LATENCY_MS:.0f}")
    return [at_most("upload to row, p99 less API latency, ms", 25, late_ms)]


def local(rounds: int, scale: float, server_url: str) -> list[Figure]:
    """A model on this machine, beside a bare loop."""
    one_by_one, each_core = [], []
    for _ in range(rounds):
        one = rates(int(400 * scale), server_url)
        say(
            f"local model: {one.ours:.1f} images a second; bare loop {one.one_by_one:.1f} one by "
            f"one, {one.each_core:.1f} with a thread for each core"
        )
        one_by_one.append(one.ours / one.one_by_one)
        each_core.append(one.ours / one.each_core)
    return [
        at_least("local model, against a bare ONNX Runtime loop", 0.95, one_by_one),
        Figure("the same, against a loop in a thread for each core", "", tuple(each_core), None),
    ]


def table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures as docs/performance.md shows them; no more digits than rounds agree on."""
    rows = ["| figure | target | median | rounds |", "|---|---|---|---|"]
    for name, one in figures.items():
        rounds = ", ".join(_shown(value) for value in one["rounds"])
        rows.append(f"| {name} | {one['target']} | {_shown(one['median'])} | {rounds} |")
    return "\n".join(rows) + "\n"


def _shown(value: float) -> str:
    """With three digits, or two after the point."""
    return f"{value:.3f}" if value < 1 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def say(text: str) -> None:
    """Tell how it goes."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description="The worker under load.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of images")
    parser.add_argument("--only", choices=ROWS, action="append", help="all by default")
    chosen = parser.parse_args()
    wanted = chosen.only or ROWS
    file = ROOT / "benchmarks" / "worker.json"
    before = json.loads(file.read_text()) if chosen.only and file.exists() else {}
    figures: dict[str, Any] = before.get("figures", {})
    costs: dict[str, list[float]] = before.get("cpu_ms", {})
    measures: dict[str, Callable[[int, float, str], list[Figure]]] = {
        "latency": latency,
        "freshness": freshness,
        "local": local,
    }
    with postgres(track_commit_timestamp="on") as server_url:
        found: list[Figure] = []
        for name in wanted:
            if name == "cores":
                more, costs = cores(chosen.rounds, chosen.scale, server_url)
            else:
                more = measures[name](chosen.rounds, chosen.scale, server_url)
            found += more
    load = os.getloadavg()[0]
    for one in found:
        figures[one.name] = asdict(one) | {"median": one.median, "load": round(load, 1)}
        mark = {True: "reached", False: "missed", None: "for comparison"}[one.reached]
        say(f"{one.name:55} {one.target:>8} {one.median:9.3f}  {mark}")
    file.parent.mkdir(exist_ok=True)
    file.write_text(
        json.dumps({"figures": figures, "cpu_ms": costs}, indent=1, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )
    file.with_suffix(".md").write_text(table(figures), encoding="utf-8")
    if costs:
        for folder in ("benchmarks", "docs"):
            plot(costs, ROOT / folder / "worker-load.svg")


if __name__ == "__main__":
    main()
