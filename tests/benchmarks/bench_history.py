"""Measure queries of the history: ``make bench BENCHMARKS=history``.

Makes histories of one, ten and thirty million detections on an embedded server
(``generate_history.py``), or uses those at ``--url``, asks each question many times with changing
arguments, and prints the 50th and 95th percentile, medians of three rounds, beside the target for
ten million and beside a baseline: the plain SQL that one would write without the view, table or
index in question. Writes ``benchmarks/history.json`` and the table of docs/performance.md.
``--videos`` asks two histories of the same images instead, one of them with so many appearances in
videos beside them, for docs/video.md. A report, not a test: tests hold the query plans
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import psutil
import psycopg
from retinue_cli.local import EmbeddedPostgres, State
from retinue_history.schema.migrate import upgrade

from benchmarks.generate_history import generate, image_id
from benchmarks.page import with_tables

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "benchmarks" / "history.json"
PAGE = ROOT / "docs" / "performance.md"
VIDEO_PAGE = ROOT / "docs" / "video.md"
SIZES = (1_000_000, 10_000_000, 30_000_000)
_ROUNDS = 3
_WEEK = timedelta(days=7)


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


class Durations(NamedTuple):
    """What a round of calls took, in milliseconds.

    ``server_cpu_ms`` is what the server worked for a call on average, which a busy machine hardly
    changes.
    """

    p50_ms: float
    p95_ms: float
    server_cpu_ms: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Medians of a question's rounds, in milliseconds. ``ratio`` is baseline over ``p50_ms``."""

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


def ask(connection: psycopg.Connection, question: Question, times: int, seed: int) -> Durations:
    """Ask a question so many times, after asking it as often with other arguments.

    So it is timed as in a session of a pool: the first calls of a session also map the server's
    shared memory.
    """
    numbers = random.Random(seed)
    _timed(connection, question, times, numbers)
    cpu_ms = _server_cpu_ms(connection)
    took = sorted(_timed(connection, question, times, numbers))
    cpu_ms = (_server_cpu_ms(connection) - cpu_ms) / times
    return Durations(statistics.median(took), took[int(len(took) * 0.95)], cpu_ms)


def answer(
    connection: psycopg.Connection, question: Question, rounds: Sequence[Durations]
) -> Answer:
    """Return the medians of a question's rounds, beside its baseline, which is asked once."""
    p50, p95, cpu_ms = (statistics.median(each) for each in zip(*rounds, strict=True))
    said, sql = question.baseline
    baseline = _milliseconds(connection, sql, question.arguments(random.Random(_ROUNDS)))
    return Answer(
        question.name,
        round(p50, 2),
        round(p95, 2),
        round(cpu_ms, 2),
        question.target_ms,
        said,
        round(baseline, 1),
        round(baseline / p50, 1),
    )


def questions_table(report: Mapping[str, Any]) -> str:
    """Return how long the questions take by size, as docs/performance.md shows it."""
    sizes = report["sizes"]
    names = [f"{size['detections'] / 1e6:.0f} M" for size in sizes]
    target = next((n for n, size in enumerate(sizes) if size["detections"] > 5_000_000), 0)
    lines = [
        f"| p50 · p95, ms | {' | '.join(names)} | target | plain SQL instead | ms |",
        "|---" * (len(sizes) + 4) + "|",
    ]
    for each in zip(*(size["questions"] for size in sizes), strict=True):
        cells = [f"{one['p50_ms']:.1f} · {one['p95_ms']:.1f}" for one in each]
        at = each[target]
        lines.append(
            f"| {at['name']} | {' | '.join(cells)} | {at['target_ms']:g} | {at['baseline']} | "
            f"{at['baseline_ms']:,.0f} |"
        )
    return "\n".join(lines) + "\n"


def videos_table(report: Mapping[str, Any]) -> str:
    """Return how long the questions take beside videos, as docs/video.md shows it."""
    lines = [
        "| p50 · p95, ms | images alone | beside videos |",
        "|---|---|---|",
    ]
    videos = report["videos"]
    pairs = zip(videos["alone"]["questions"], videos["beside"]["questions"], strict=True)
    lines += [
        f"| {alone['name']} | {alone['p50_ms']:.1f} · {alone['p95_ms']:.1f} | "
        f"{beside['p50_ms']:.1f} · {beside['p95_ms']:.1f} |"
        for alone, beside in pairs
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Make the histories or take those that are given; ask; write report and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", nargs="+", help="histories made by generate_history.py")
    parser.add_argument("--detections", type=int, nargs="+", default=SIZES, help="how many to make")
    parser.add_argument("--times", type=int, default=200, help="calls of a query in a round")
    parser.add_argument("--videos", type=int, help="appearances in videos to compare with")
    given = parser.parse_args()
    report = json.loads(OUTPUT.read_text("utf-8")) if OUTPUT.exists() else {}
    if given.videos:
        report["videos"] = _compared(given.detections[0], given.videos, given.times)
        _write(report, VIDEO_PAGE, {"videos": videos_table(report)})
        return
    sizes = {size["detections"]: size for size in report.get("sizes", ())}
    histories = [*map(nullcontext, given.url)] if given.url else [*map(made, given.detections)]
    for history in histories:
        with history as url, psycopg.connect(url, autocommit=True) as connection:
            size = _asked(connection, given.times)
            sizes[size["detections"]] = size
    report["sizes"] = [sizes[rows] for rows in sorted(sizes)]
    _write(report, PAGE, {"questions": questions_table(report)})


def _write(report: Mapping[str, Any], page: Path, tables: Mapping[str, str]) -> None:
    """Write the report, and its table into a page."""
    OUTPUT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write("\n".join(tables.values()))
    page.write_text(with_tables(page.read_text("utf-8"), tables), encoding="utf-8")


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
    asked = questions(until, images)
    rounds = []
    for seed in range(_ROUNDS):
        rounds.append([ask(connection, question, times, seed) for question in asked])
        sys.stderr.write(f"round {seed + 1} of {_ROUNDS} with {rows:,} detections\n")
    answers = []
    for question, durations in zip(asked, zip(*rounds, strict=True), strict=True):
        answers.append(answer(connection, question, durations))
        sys.stderr.write(f"{answers[-1]} {durations}\n")
    return {
        "detections": rows,
        "gigabytes": round(
            _one(connection, "SELECT pg_database_size(current_database())")[0] / 1e9, 1
        ),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "server": _one(connection, "SHOW server_version")[0],
        "shared_buffers": _one(connection, "SHOW shared_buffers")[0],
        "huge_pages": _one(connection, "SHOW huge_pages_status")[0],
        "load": round(load, 1),
        "questions": [asdict(answer) for answer in answers],
    }


def _server_cpu_ms(connection: psycopg.Connection) -> float:
    """Return the processor time of a connection's server process, which runs on this machine."""
    times = psutil.Process(connection.info.backend_pid).cpu_times()
    return (times.user + times.system) * 1000


def _timed(
    connection: psycopg.Connection, question: Question, times: int, numbers: random.Random
) -> list[float]:
    return [
        _milliseconds(connection, question.sql, question.arguments(numbers)) for _ in range(times)
    ]


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
