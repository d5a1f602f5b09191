"""Measure questions of an archive in DuckDB: ``make bench BENCHMARKS=archive``.

Writes an archive in a folder (``generate_archive.py``). Asks each question of the files with DuckDB
alone, and as ``retinue query --archive`` does, beside an empty database. The first answer is given
after the files left the page cache. Each question has a process of its own, whose largest memory is
noted. Writes ``benchmarks/archive.json`` and the table in docs/archive.md.

A billion detections take 31 GB and twenty minutes of processor time. ``--folder`` keeps what was
written, a month at a time, and continues there. ``--step`` does one part:

    python -m benchmarks.bench_archive --detections 1000000000 --folder /data/archive --step write
    python -m benchmarks.bench_archive --folder /data/archive --step duckdb
    python -m benchmarks.bench_archive --folder /data/archive --step query
"""

import argparse
import json
import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from retinue_cli.data.archive.archive import Archive
from retinue_cli.data.archive.place import Folder
from retinue_cli.data.archive.query import MEMORY, ArchiveQuery, run_archive_query

from benchmarks.database import database, postgres
from benchmarks.generate_archive import generate
from benchmarks.page import with_tables

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "benchmarks" / "archive.json"
PAGE = ROOT / "docs" / "archive.md"
STEPS = ("write", "duckdb", "query")
ROUNDS = 3

DAY = "date_trunc('day', make_timestamp(epoch_us(detected_at)))"
WEEK = "detected_at >= '2025-02-08' AND detected_at < '2025-02-15'"
QUESTIONS = {
    "a frequent label in a week": f"""
        SELECT count(*), avg(confidence) FROM detection_history WHERE label = 'Label 3' AND {WEEK}
    """,
    "a rare label in a week, with images": f"""
        SELECT bucket, key, confidence FROM detection_history WHERE label = 'Label 180' AND {WEEK}
        ORDER BY detected_at DESC LIMIT 100
    """,
    "counts of a label by day, all months": f"""
        SELECT {DAY} AS day, count(*) FROM detection_history WHERE label = 'Label 3'
        GROUP BY 1 ORDER BY 1
    """,
    "counts by day, all labels and months": f"""
        SELECT {DAY} AS day, count(*) FROM detection_history GROUP BY 1 ORDER BY 1
    """,
    "counts by label, all months": """
        SELECT label, count(*) FROM detection_history GROUP BY 1 ORDER BY 2 DESC
    """,
}


def by_duckdb(folder: Path) -> Callable[[str], object]:
    """Return a function that asks the files themselves."""
    names = [str(folder / file.name) for file in Archive.open(Folder(folder)).files]
    connection = duckdb.connect(config={"memory_limit": MEMORY})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE VIEW detection_history AS FROM read_parquet({names!r})")
    return lambda sql: connection.sql(sql).fetchall()


def by_query(folder: Path, url: str) -> Callable[[str], object]:
    """Return a function that asks as ``retinue query --archive`` does."""

    def ask(sql: str) -> object:
        query = ArchiveQuery(sql, timeout_seconds=600)
        return run_archive_query(Folder(folder), url, query, lambda _: None)

    return ask


def measure(folder: Path, url: str | None, question: str) -> dict[str, float]:
    """Ask a question in this process, first with cold files. Return seconds and megabytes."""
    for path in folder.rglob("*.parquet"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    ask = by_duckdb(folder) if url is None else by_query(folder, url)
    times = []
    for _ in range(1 + ROUNDS):
        began = time.monotonic()
        ask(question)
        times.append(time.monotonic() - began)
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return {
        "cold": round(times[0], 3),
        "warm": round(statistics.median(times[1:]), 3),
        "peak_mb": round(int(peak) / 1024),
    }


def measure_all(folder: Path, url: str | None) -> dict[str, dict[str, float]]:
    """Ask each question in a process of its own."""
    found = {}
    context = multiprocessing.get_context("spawn")
    for name, question in QUESTIONS.items():
        with context.Pool(1) as pool:
            found[name] = pool.apply(measure, (folder, url, question))
        sys.stdout.write(f"{name}: {found[name]}\n")
        sys.stdout.flush()
    return found


def table(found: dict[str, Any]) -> str:
    """Return the results as Markdown."""

    def cells(way: str, name: str) -> str:
        answer = found[way][name]
        return f"{answer['cold']:.1f} | {answer['warm']:.1f} | {answer['peak_mb']:,.0f}"

    heading = f"{found['detections'] / 1e6:,.0f} million detections"
    lines = [
        f"| {heading} | DuckDB cold, s | warm, s | MB | `query` cold, s | warm, s | MB |",
        "|---|---|---|---|---|---|---|",
        *(f"| {name} | {cells('duckdb', name)} | {cells('query', name)} |" for name in QUESTIONS),
    ]
    return "\n".join(lines) + "\n"


def run(folder: Path, detections: int, steps: tuple[str, ...]) -> dict[str, Any]:
    """Do some steps. Return their results, and earlier results of the others."""
    found: dict[str, Any] = json.loads(OUTPUT.read_text(encoding="utf-8"))
    if "write" in steps:
        speed = generate(folder, detections, lambda line: print(line, flush=True))  # noqa: T201
        if speed is not None:
            found["written_per_processor_second"] = round(speed)
    files = Archive.open(Folder(folder)).files
    found["detections"] = sum(file.rows for file in files)
    found["bytes"] = sum(file.bytes for file in files)
    found["files"] = len(files)
    found["months"] = len({file.month for file in files})
    if "duckdb" in steps:
        found["duckdb"] = measure_all(folder, None)
    if "query" in steps:
        with postgres() as server, database(server) as url:
            found["query"] = measure_all(folder, url)
    return found


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--detections", type=int, default=20_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", choices=STEPS)
    asked = parser.parse_args(argv)
    steps = STEPS if asked.step is None else (asked.step,)
    with tempfile.TemporaryDirectory(prefix="retinue-bench-") as temporary:
        found = run(asked.folder or Path(temporary), asked.detections, steps)
    OUTPUT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_tables(page, {"archive": table(found)}), encoding="utf-8")
    print(json.dumps(found, indent=2))  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
