"""Measure Postgres' cost of recording an image: ``make bench BENCHMARKS=recording``.

Asks and records as a worker does (``done_and_erased``, then ``record``), 100 images, 10 and
one a commit. Beside it, in the same run, plain inserts of the same rows into the same tables, with
the same indexes, constraints and partitions and without our triggers. Answers are like
Rekognition's (``recorded_images.py``). Processor time is that of all processes of the server.
Rounds alternate, and the table has their medians. Writes ``benchmarks/recording.json`` and the
table of docs/performance.md.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
from retinue_history import ConnectionPool, History

from benchmarks.database import database, postgres
from benchmarks.page import with_tables
from benchmarks.plain_inserts import insert
from benchmarks.recorded_images import Batch, batch

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "benchmarks" / "recording.json"
PAGE = ROOT / "docs" / "performance.md"
_PREPARED = 6
"""Executions after which psycopg and Postgres have prepared and planned everything."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of an image at one size of commits, in milliseconds of processor time.

    Attributes:
        images_a_commit: How many images.
        postgres_ms: All processes of the server.
        plain_ms: The same for plain inserts.
        ratio: The median of each round's ratio of the two.
        client_ms: This process in ``History``, for the same image.
        rounds: ``postgres_ms`` and ``plain_ms`` of each round.
    """

    images_a_commit: int
    postgres_ms: float
    plain_ms: float
    ratio: float
    client_ms: float
    rounds: tuple[tuple[float, float], ...]


def recording_table(costs: Sequence[Mapping[str, Any]]) -> str:
    """Return the costs as docs/performance.md shows them."""
    lines = ["| images a commit | Retinue | plain inserts | ratio |", "|---|---|---|---|"]
    lines += [
        f"| {one['images_a_commit']} | {one['postgres_ms']:.3f} | {one['plain_ms']:.3f} | "
        f"{one['ratio']:.2f} |"
        for one in costs
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 10, 1])
    given = parser.parse_args()
    with postgres() as server_url, database(server_url) as url, database(server_url) as plain_url:
        server = _postmaster(server_url)
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
                _cost(server, size, ours, lambda batch: insert(connection, batch), given.rounds,
                      given.seconds)
                for size in given.sizes
            ]  # fmt: skip
        pool.close()
    _print(costs)
    OUTPUT.parent.mkdir(exist_ok=True)
    report = [asdict(cost) for cost in costs]
    OUTPUT.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    table = {"recording": recording_table(report)}
    PAGE.write_text(with_tables(PAGE.read_text("utf-8"), table), encoding="utf-8")


def _cost(
    server: psutil.Process,
    size: int,
    ours: Callable[[Batch], None],
    theirs: Callable[[Batch], None],
    rounds: int,
    seconds: float,
) -> Cost:
    pairs, clients = [], []
    for _ in range(rounds):
        mine, client = _round(server, size, ours, seconds)
        plain, _ = _round(server, size, theirs, seconds)
        pairs.append((round(mine, 3), round(plain, 3)))
        clients.append(client)
    return Cost(
        size,
        statistics.median(mine for mine, _ in pairs),
        statistics.median(plain for _, plain in pairs),
        round(statistics.median(mine / plain for mine, plain in pairs), 2),
        round(statistics.median(clients), 3),
        tuple(pairs),
    )


def _round(
    server: psutil.Process, size: int, write: Callable[[Batch], None], seconds: float
) -> tuple[float, float]:
    """Return the server's and the client's processor time for an image, in milliseconds."""
    numbers = random.Random(time.monotonic_ns())
    for _ in range(_PREPARED):
        write(batch(size, numbers))
    images, client, before, began = 0, 0.0, _cpu_seconds(server), time.monotonic()
    while time.monotonic() - began < seconds:
        made = batch(size, numbers)
        client -= time.thread_time()
        write(made)
        client += time.thread_time()
        images += size
    return (_cpu_seconds(server) - before) * 1_000 / images, client * 1_000 / images


def _postmaster(server_url: str) -> psutil.Process:
    with psycopg.connect(server_url) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    return psutil.Process(int((Path(row[0]) / "postmaster.pid").read_text().split()[0]))


def _cpu_seconds(server: psutil.Process) -> float:
    """Return what all processes of a server have used, those that have ended included."""
    own = server.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for process in server.children():
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:  # it ended just now
            continue
        total += times.user + times.system
    return total


def _print(costs: list[Cost]) -> None:
    lines = [
        "Postgres' processor time, ms an image",
        f"{'images a commit':>16}{'Retinue':>10}{'plain':>10}{'ratio':>8}{'client':>10}",
    ]
    lines += [
        f"{cost.images_a_commit:16}{cost.postgres_ms:10.3f}{cost.plain_ms:10.3f}{cost.ratio:8.2f}"
        f"{cost.client_ms:10.3f}"
        for cost in costs
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
