"""Measure reads and writes of the history: ``make bench BENCHMARKS=history``.

Makes a history of ten million detections on an embedded server (``generate_history.py``), or uses
the one at ``--url``, asks each question many times with changing arguments, and prints the 50th and
95th percentile beside the target and beside a baseline: the plain SQL that one would write without
the view, table or index in question. Then records images (``history_writes.py``). Writes
``benchmarks/history.json``. A report, not a test: tests hold the query plans
(``tests/migrations/test_plans.py``), which do not depend on the machine.
"""

import argparse
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from retinue_cli.local import EmbeddedPostgres, State
from retinue_history.schema.migrate import upgrade

from benchmarks.generate_history import generate, image_id
from benchmarks.history_writes import Rate, measure_writes, server_cpu_ms, syncs_a_second

OUTPUT = Path(__file__).parents[2] / "benchmarks" / "history.json"
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask.

    Attributes:
        name: What it is called in the report.
        sql: The question, with psycopg's placeholders.
        arguments: Makes arguments, others each time.
        target_ms: What the 95th percentile should not exceed, in milliseconds.
        baseline: Another way to ask the same, and what is said of it.
    """

    name: str
    sql: str
    arguments: Callable[[random.Random], tuple[Any, ...]]
    target_ms: float
    baseline: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """The duration of a query in milliseconds. ``ratio`` is baseline over ``p50_ms``.

    ``server_cpu_ms`` is what the server worked for it on average, which a busy machine hardly
    changes.
    """

    name: str
    p50_ms: float
    p95_ms: float
    server_cpu_ms: float
    target_ms: float
    baseline: str
    baseline_ms: float
    ratio: float


def questions(until: datetime, images: int) -> list[Question]:
    """Return the questions, on a history of so many images that ends at a moment."""
    no_index = "without the index"

    def label(numbers: random.Random) -> str:
        return numbers.choice([f"object {n:02}" for n in range(80)])

    def an_image(numbers: random.Random) -> UUID:
        return image_id(numbers.randrange(images))

    shown = "s3_uri, detector, kind, label, confidence, box_left, box_top, box_width, box_height"
    latest = f"SELECT image_id, {shown} FROM latest_detections WHERE image_id ="
    newest = (
        f"SELECT h.image_id, {shown} FROM detection_history AS h "
        "JOIN (SELECT DISTINCT ON (image_id, detector) "
        "run_id FROM runs WHERE outcome = 'succeeded' ORDER BY image_id, detector, "
        "started_at DESC) AS new USING (run_id) WHERE h.image_id ="
    )
    return [
        Question(
            "label X above c, last 7 days, newest 100",
            "SELECT s3_uri, confidence, detected_at FROM detection_history WHERE label = %s "
            "AND confidence > %s AND detected_at > %s ORDER BY detected_at DESC LIMIT 100",
            lambda numbers: (label(numbers), 0.9, until - _WEEK),
            10,
            (
                no_index,
                (
                    "SELECT image_id, confidence, detected_at FROM detections "
                    "WHERE label || '' = %s AND confidence > %s AND detected_at > %s "
                    "ORDER BY detected_at DESC LIMIT 100"
                ),
            ),
        ),
        Question(
            "how many of label X above c, last 7 days",
            "SELECT count(*) FROM detections WHERE label = %s AND confidence > %s "
            "AND detected_at > %s",
            lambda numbers: (label(numbers), 0.8, until - _WEEK),
            10,
            (
                no_index,
                (
                    "SELECT count(*) FROM detections WHERE label || '' = %s AND confidence > %s "
                    "AND detected_at > %s"
                ),
            ),
        ),
        Question(
            "counts per label and day, 30 days",
            "SELECT label, day, sum(detections) FROM label_counts_daily WHERE day > %s "
            "GROUP BY label, day",
            lambda numbers: ((until - timedelta(days=30)).date(),),
            50,
            (
                "GROUP BY over detections",
                (
                    "SELECT label, detected_at::date, count(*) FROM detections "
                    "WHERE detected_at::date > %s GROUP BY 1, 2"
                ),
            ),
        ),
        Question(
            "latest detections of one image",
            f"{latest} %s",
            lambda numbers: (an_image(numbers),),
            2,
            ("DISTINCT ON over runs", f"{newest} %s"),
        ),
        Question(
            "latest detections of 100 images",
            f"{latest} ANY (%s)",
            lambda numbers: ([an_image(numbers) for _ in range(100)],),
            10,
            ("DISTINCT ON over runs", f"{newest} ANY (%s)"),
        ),
        Question(
            "labels by prefix",
            "SELECT label FROM labels WHERE lower(label) LIKE %s ORDER BY label LIMIT 20",
            lambda numbers: (f"scene {numbers.randrange(10)}%",),
            20,
            (
                "DISTINCT over detections",
                "SELECT DISTINCT label FROM detections WHERE label LIKE %s ORDER BY label LIMIT 20",
            ),
        ),
        Question(
            "labels by a part",
            "SELECT label FROM labels WHERE label ILIKE %s LIMIT 20",
            lambda numbers: (f"%ne {numbers.randrange(10)}%",),
            20,
            (
                "DISTINCT over detections",
                "SELECT DISTINCT label FROM detections WHERE label LIKE %s LIMIT 20",
            ),
        ),
        Question(
            "images with a text in them",
            "SELECT s3_uri, label FROM detection_history WHERE kind = 'text' "
            "AND label ILIKE %s LIMIT 50",
            lambda numbers: (f"%{numbers.randrange(10_000):04}%",),
            50,
            (
                no_index,
                (
                    "SELECT image_id, label FROM detections WHERE kind || '' = 'text' "
                    "AND label ILIKE %s LIMIT 50"
                ),
            ),
        ),
    ]


def ask(connection: psycopg.Connection, question: Question, times: int) -> Answer:
    """Ask a question so many times, and its baseline once."""
    numbers = random.Random(7)
    for _ in range(6):  # caches, and the plan that psycopg prepares
        connection.execute(question.sql, question.arguments(numbers)).fetchall()
    cpu_ms = server_cpu_ms(connection)
    took = sorted(
        _milliseconds(connection, question.sql, question.arguments(numbers)) for _ in range(times)
    )
    cpu_ms = (server_cpu_ms(connection) - cpu_ms) / times
    p50 = statistics.median(took)
    said, sql = question.baseline
    baseline = _milliseconds(connection, sql, question.arguments(numbers))
    return Answer(
        question.name,
        round(p50, 2),
        round(took[int(len(took) * 0.95)], 2),
        round(cpu_ms, 2),
        question.target_ms,
        said,
        round(baseline, 1),
        round(baseline / p50, 1),
    )


def main() -> None:
    """Make the history or take the one that is given; ask; print; write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a history made by generate_history.py")
    parser.add_argument("--detections", type=int, default=10_000_000)
    parser.add_argument("--times", type=int, default=200)
    given = parser.parse_args()
    with _history(given.url, given.detections) as url, psycopg.connect(url) as connection:
        connection.autocommit = True
        rows, until = _one(connection, "SELECT count(*), max(detected_at) FROM detections")
        images = _one(connection, "SELECT count(*) FROM images")[0]
        load = round(os.getloadavg()[0], 1)
        answers = []
        for question in questions(until, images):
            answers.append(ask(connection, question, given.times))
            sys.stderr.write(f"{answers[-1]}\n")
        rates = measure_writes(connection, url)
        report = {
            "detections": rows,
            "partitions": _one(connection, "SELECT count(*) FROM detections_partitions()")[0],
            "server": _one(connection, "SHOW server_version")[0],
            "shared_buffers": _one(connection, "SHOW shared_buffers")[0],
            "fsync": _one(connection, "SHOW fsync")[0],
            "machine": f"{os.cpu_count()} cores, {platform.machine()}",
            "load_before": load,
            "load_after": round(os.getloadavg()[0], 1),
            "questions": [asdict(answer) for answer in answers],
            "writes": [asdict(rate) for rate in rates],
            "fdatasync_a_second": syncs_a_second(),
        }
    _print(answers, rates, report)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _print(answers: list[Answer], rates: list[Rate], report: dict[str, Any]) -> None:
    lines = [f"{report['detections']:,} detections, PostgreSQL {report['server']}", ""]
    lines.append(f"{'':44}{'p50 ms':>9}{'p95 ms':>9}{'CPU ms':>8}{'target':>8}  baseline")
    lines += [
        f"{a.name:44}{a.p50_ms:9.2f}{a.p95_ms:9.2f}{a.server_cpu_ms:8.2f}{a.target_ms:8.0f}  "
        f"{a.baseline}: {a.baseline_ms:,.0f} ms, {a.ratio:,.0f} times as long"
        for a in answers
    ]
    lines += [
        "",
        f"{'History.record':44}{'images/s':>9}{'CPU ms':>9}{'server':>8}{'target':>8}  baseline",
    ]
    lines += [
        f"{r.name:44}{r.images_per_second:9,.0f}{r.client_cpu_ms:9.2f}{r.server_cpu_ms:8.2f}"
        f"{r.target:8,}  {r.baseline}: "
        f"{r.baseline_images_per_second:,.0f} images/s, {r.ratio:.1f} times as many"
        for r in rates
    ]
    lines += ["", f"The disk syncs {report['fdatasync_a_second']:,} times a second."]
    sys.stdout.write("\n".join(lines) + "\n")


def _milliseconds(connection: psycopg.Connection, sql: str, arguments: tuple[Any, ...]) -> float:
    began = time.perf_counter()
    connection.execute(sql, arguments).fetchall()
    return (time.perf_counter() - began) * 1000


def _one(connection: psycopg.Connection, sql: str) -> tuple[Any, ...]:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return row


@contextmanager
def _history(url: str | None, detections: int) -> Iterator[str]:
    if url is not None:
        yield url
        return
    with (
        tempfile.TemporaryDirectory(prefix="rqb") as folder,
        EmbeddedPostgres(State(Path(folder))) as server,
    ):
        made = server.url().replace("+psycopg", "")
        upgrade(made)
        generate(made, detections=detections, until=datetime.now(UTC), tell=True)
        yield made


if __name__ == "__main__":
    main()
