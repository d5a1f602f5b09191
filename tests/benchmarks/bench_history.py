"""Measure reads and writes of the history: ``make bench BENCHMARKS=history``.

Makes histories of one, ten and thirty million detections on an embedded server
(``generate_history.py``), or uses those at ``--url``, asks each question many times with changing
arguments, and prints the 50th and 95th percentile beside the target for ten million and beside a
baseline: the plain SQL that one would write without the view, table or index in question. Then
records images (``history_writes.py``). Writes ``benchmarks/history.json`` and the tables of
docs/performance.md; ``--only`` keeps the other part. ``--videos`` asks two histories of the same
images instead, one of them with so many appearances in videos beside them. A report, not a test:
tests hold the query plans (``tests/migrations/test_plans.py``), which do not depend on the machine.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from retinue_cli.local import EmbeddedPostgres, State
from retinue_history.schema.migrate import upgrade

from benchmarks.generate_history import generate, image_id
from benchmarks.history_writes import measure_writes, server_cpu_ms, syncs_a_second
from benchmarks.page import with_tables

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "benchmarks" / "history.json"
PAGE = ROOT / "docs" / "performance.md"
SIZES = (1_000_000, 10_000_000, 30_000_000)
_WEEK = timedelta(days=7)
_BEFORE = 4
"""How often a question is asked before it is timed, for each time."""


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask.

    Attributes:
        name: What it is called in the report.
        sql: The question, with psycopg's placeholders.
        arguments: Makes arguments, others each time.
        target_ms: What the 95th percentile should not exceed with ten million detections, in
            milliseconds.
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
            5,
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
            10,
            (
                "GROUP BY over detections",
                (
                    "SELECT label, detected_at::date, count(*) FROM detections "
                    "WHERE detected_at::date > %s GROUP BY 1, 2"
                ),
            ),
        ),
        Question(
            "counts per label, 30 days",
            "SELECT label, sum(detections) FROM label_counts_daily WHERE day > %s GROUP BY label",
            lambda numbers: ((until - timedelta(days=30)).date(),),
            10,
            (
                "GROUP BY over detections",
                (
                    "SELECT label, count(*) FROM detections WHERE detected_at::date > %s "
                    "GROUP BY label"
                ),
            ),
        ),
        Question(
            "latest detections of one image",
            f"{latest} %s",
            lambda numbers: (an_image(numbers),),
            1,
            ("DISTINCT ON over runs", f"{newest} %s"),
        ),
        Question(
            "latest detections of 100 images",
            f"{latest} ANY (%s)",
            lambda numbers: ([an_image(numbers) for _ in range(100)],),
            6,
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
    """Ask a question so many times, and its baseline once.

    It was asked before, with other arguments, as in a session of a pool. A session's first calls
    also map the server's shared memory: 100 random images take a new one 200 page faults, which
    add a quarter to the 95th percentile. A server with huge pages doesn't have them.
    """
    numbers = random.Random(8)
    for _ in range(_BEFORE * times):
        connection.execute(question.sql, question.arguments(numbers)).fetchall()
    numbers = random.Random(7)
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


def questions_table(report: Mapping[str, Any]) -> str:
    """Return how long the questions take by size, as docs/performance.md shows it."""
    sizes = report.get("sizes", ())
    names = [_millions(size["detections"]) for size in sizes]
    target = next((n for n, size in enumerate(sizes) if size["detections"] > 5_000_000), 0)
    with_videos = _with_videos(report.get("videos"))
    lines = [
        (
            f"| p50 · p95, ms | {' | '.join(names)} | target | server CPU | beside videos "
            "| plain SQL | ms |"
        ),
        "|---" * (len(sizes) + 6) + "|",
    ]
    for each in zip(*(size["questions"] for size in sizes), strict=True):
        cells = [f"{one['p50_ms']:.1f} · {one['p95_ms']:.1f}" for one in each]
        at = each[target]
        lines.append(
            f"| {at['name']} | {' | '.join(cells)} | {at['target_ms']:g} | "
            f"{at['server_cpu_ms']:.2f} | {with_videos.get(at['name'], '–')} | {at['baseline']} | "
            f"{at['baseline_ms']:,.0f} |"
        )
    return "\n".join(lines) + "\n"


def _with_videos(videos: Mapping[str, Any] | None) -> dict[str, str]:
    """Return each question's processor time without appearances in videos, and beside them."""
    if videos is None:
        return {}
    pairs = zip(videos["alone"]["questions"], videos["beside"]["questions"], strict=True)
    return {
        one["name"]: f"{one['server_cpu_ms']:.1f} → {other['server_cpu_ms']:.1f}"
        for one, other in pairs
    }


def writes_table(writes: Sequence[Mapping[str, Any]]) -> str:
    """Return how fast images are recorded, as docs/performance.md shows it."""
    lines = [
        "| one connection | images/s | target | client ms | server ms | baseline | images/s |",
        "|---" * 7 + "|",
    ]
    lines += [
        f"| {one['name']} | {one['images_per_second']:,} | {one['target']:,} | "
        f"{one['client_cpu_ms']:.2f} | {one['server_cpu_ms']:.2f} | {one['baseline']} | "
        f"{one['baseline_images_per_second']:,} |"
        for one in writes
    ]
    return "\n".join(lines) + "\n"


def tables(report: Mapping[str, Any]) -> dict[str, str]:
    """Return what docs/performance.md shows of a report, by the names of its places."""
    return {
        "questions": questions_table(report),
        "writes": writes_table(report.get("writes", ())),
    }


def main() -> None:
    """Make the histories or take those that are given; ask; record; write report and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", nargs="+", help="histories made by generate_history.py")
    parser.add_argument("--detections", type=int, nargs="+", default=SIZES, help="how many to make")
    parser.add_argument("--times", type=int, default=200, help="how often to ask")
    parser.add_argument("--only", choices=("questions", "writes"))
    parser.add_argument("--videos", type=int, help="appearances in videos to compare with")
    given = parser.parse_args()
    report = json.loads(OUTPUT.read_text("utf-8")) if OUTPUT.exists() else {}
    if given.videos:
        report["videos"] = _compared(given.detections[0], given.videos, given.times)
        _write(report)
        return
    sizes = {size["detections"]: size for size in report.get("sizes", ())}
    histories = [*map(nullcontext, given.url)] if given.url else [*map(made, given.detections)]
    for number, history in enumerate(histories, start=1):
        with history as url, psycopg.connect(url, autocommit=True) as connection:
            if given.only != "writes":
                size = _asked(connection, given.times)
                sizes[size["detections"]] = size
            if given.only != "questions" and number == len(histories):
                report |= _recorded(connection, url)
    report["sizes"] = [sizes[rows] for rows in sorted(sizes)]
    _write(report)


def _write(report: Mapping[str, Any]) -> None:
    """Write the report, and its tables into the page."""
    OUTPUT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write("\n".join(tables(report).values()))
    PAGE.write_text(with_tables(PAGE.read_text("utf-8"), tables(report)), encoding="utf-8")


def _compared(detections: int, appearances: int, times: int) -> dict[str, Any]:
    """Ask a history of images, and then the same with videos beside them."""
    asked = {}
    for name, beside in (("alone", 0), ("beside", appearances)):
        with made(detections, beside) as url, psycopg.connect(url, autocommit=True) as connection:
            asked[name] = _asked(connection, times)
    return asked


def _asked(connection: psycopg.Connection, times: int) -> dict[str, Any]:
    """Ask everything of one history."""
    load = os.getloadavg()[0]
    rows, until = _one(connection, "SELECT count(*), max(detected_at) FROM detections")
    (images,) = _one(
        connection, "SELECT (SELECT count(*) FROM images) - (SELECT count(*) FROM videos)"
    )
    answers = []
    for question in questions(until, images):
        answers.append(ask(connection, question, times))
        sys.stderr.write(f"{answers[-1]}\n")
    return {
        "detections": rows,
        "gigabytes": round(
            _one(connection, "SELECT pg_database_size(current_database())")[0] / 1e9, 1
        ),
        "load": round(load, 1),
        "questions": [asdict(answer) for answer in answers],
    }


def _recorded(connection: psycopg.Connection, url: str) -> dict[str, Any]:
    """Record images into one history."""
    load = os.getloadavg()[0]
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "server": _one(connection, "SHOW server_version")[0],
        "shared_buffers": _one(connection, "SHOW shared_buffers")[0],
        "fsync": _one(connection, "SHOW fsync")[0],
        "writes_load": round(load, 1),
        "writes": [asdict(rate) for rate in measure_writes(connection, url)],
        "fdatasync_a_second": syncs_a_second(),
    }


def _millions(rows: int) -> str:
    return f"{rows / 1e6:.0f} M"


def _milliseconds(connection: psycopg.Connection, sql: str, arguments: tuple[Any, ...]) -> float:
    began = time.perf_counter()
    connection.execute(sql, arguments).fetchall()
    return (time.perf_counter() - began) * 1000


def _one(connection: psycopg.Connection, sql: str) -> tuple[Any, ...]:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return row


@contextmanager
def made(detections: int, appearances: int = 0) -> Iterator[str]:
    """Make a history on a server of its own; yields its URL."""
    with (
        tempfile.TemporaryDirectory(prefix="rqb") as folder,
        EmbeddedPostgres(State(Path(folder))) as server,
    ):
        url = server.url().replace("+psycopg", "")
        upgrade(url)
        generate(
            url,
            detections=detections,
            until=datetime.now(UTC),
            appearances=appearances,
            tell=True,
        )
        yield url


if __name__ == "__main__":
    main()
