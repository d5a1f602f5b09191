"""Measure what recording an image costs: ``make bench BENCHMARKS=recording``.

Asks and records as a worker does (``done_and_erased``, then ``record``), 100 images, 10 and
one a commit. Beside it, in the same run, plain inserts of the same rows into the same tables, with
the same indexes, constraints and partitions and without our triggers. Answers are like
Rekognition's (``recorded_images.py``). Both have one connection. Processor time is that of all
processes of the server. Rounds alternate, and the table has their medians. Writes
``benchmarks/recording.json`` and the table of docs/performance.md.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import psycopg
from retinue_history import ConnectionPool, History

from benchmarks.database import database, postgres, server_cpu_seconds
from benchmarks.page import with_tables
from benchmarks.plain_inserts import insert
from benchmarks.recorded_images import Batch, batch

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "benchmarks" / "recording.json"
PAGE = ROOT / "docs" / "performance.md"
_PREPARED = 6
"""Executions after which psycopg and Postgres have prepared and planned everything."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What recording took in one round, or the medians of all.

    Attributes:
        images_per_second: By one connection, for the time that the calls took.
        postgres_ms: Processor time of all processes of the server, for an image.
        client_ms: The same of this process.
    """

    images_per_second: float
    postgres_ms: float
    client_ms: float


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of an image at one size of commits.

    Attributes:
        images_a_commit: How many images.
        retinue: ``History``, medians of the rounds.
        plain: Plain inserts, medians of the rounds.
        ratio: The median of each round's ratio of the server's processor times.
        rounds: Both, in each round.
    """

    images_a_commit: int
    retinue: Sample
    plain: Sample
    ratio: float
    rounds: tuple[tuple[Sample, Sample], ...]


def recording_table(costs: Sequence[Mapping[str, Any]]) -> str:
    """Return the costs as docs/performance.md shows them."""
    lines = [
        "| images a commit | images/s | plain | Postgres CPU ms an image | plain | ratio |",
        "|---" * 6 + "|",
    ]
    for one in costs:
        ours, plain = Sample(**one["retinue"]), Sample(**one["plain"])
        lines.append(
            f"| {one['images_a_commit']} | {ours.images_per_second:,.0f} | "
            f"{plain.images_per_second:,.0f} | {ours.postgres_ms:.3f} | {plain.postgres_ms:.3f} | "
            f"{one['ratio']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 10, 1])
    given = parser.parse_args()
    with postgres() as server_url, database(server_url) as url, database(server_url) as plain_url:
        pool = ConnectionPool(url, application_name="bench", max_size=1)
        history = History(pool)

        def ours(batch: Batch) -> None:
            images, runs = batch
            history.done_and_erased([(run.key, run.event_id) for run in runs], images)
            history.record(images, runs)

        with psycopg.connect(plain_url) as connection:
            for table in ("images", "runs", "detections"):
                connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
            connection.commit()
            costs = [
                _cost(connection, size, ours, lambda batch: insert(connection, batch), given.rounds,
                      given.seconds)
                for size in given.sizes
            ]  # fmt: skip
        pool.close()
    report = [asdict(cost) for cost in costs]
    table = recording_table(report)
    sys.stdout.write(table)
    OUTPUT.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    PAGE.write_text(with_tables(PAGE.read_text("utf-8"), {"recording": table}), encoding="utf-8")


def _cost(
    connection: psycopg.Connection,
    size: int,
    ours: Callable[[Batch], None],
    theirs: Callable[[Batch], None],
    rounds: int,
    seconds: float,
) -> Cost:
    pairs = tuple(
        (_round(connection, size, ours, seconds), _round(connection, size, theirs, seconds))
        for _ in range(rounds)
    )
    retinue, plain = zip(*pairs, strict=True)
    ratio = statistics.median(mine.postgres_ms / other.postgres_ms for mine, other in pairs)
    return Cost(size, _medians(retinue), _medians(plain), round(ratio, 2), pairs)


def _medians(samples: Sequence[Sample]) -> Sample:
    return Sample(*map(statistics.median, zip(*map(astuple, samples), strict=True)))


def _round(
    connection: psycopg.Connection, size: int, write: Callable[[Batch], None], seconds: float
) -> Sample:
    numbers = random.Random(time.monotonic_ns())
    for _ in range(_PREPARED):
        write(batch(size, numbers))
    images, took, client = 0, 0.0, 0.0
    before, began = server_cpu_seconds(connection), time.monotonic()
    while time.monotonic() - began < seconds:
        made = batch(size, numbers)
        took -= time.monotonic()
        client -= time.thread_time()
        write(made)
        client += time.thread_time()
        took += time.monotonic()
        images += size
    return Sample(
        round(images / took),
        round((server_cpu_seconds(connection) - before) * 1_000 / images, 3),
        round(client * 1_000 / images, 3),
    )


if __name__ == "__main__":
    main()
