"""Measure questions of an archive in DuckDB: ``make bench BENCHMARKS=archive``.

Writes an archive of synthetic detections with the writer of ``retinue maintain``: two detectors,
200 labels of which few are frequent, ten detections an image, a random image id for each image.
Each file is then listed ``--copies`` times, by links, to have more rows than could be written in
the time. Asks each question three times, of the files with DuckDB alone, and as
``retinue query --archive`` does. Writes ``benchmarks/archive.json`` and the table in
docs/archive.md.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
from retinue_cli.data.archive.archive import Archive
from retinue_cli.data.archive.files import MAX_ROWS, FileWriter, schema
from retinue_cli.data.archive.manifest import new_name
from retinue_cli.data.archive.place import Folder
from retinue_cli.data.archive.query import dataset
from retinue_history.upkeep.maintenance import months_before

from benchmarks.page import with_tables

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "benchmarks" / "archive.json"
PAGE = ROOT / "docs" / "archive.md"
MONTHS = 12
DETECTORS = ("rekognition-labels", "onnx-objects")
ROUNDS = 3
NEWEST = months_before(datetime(2026, 1, 1, tzinfo=UTC), 0)

ROWS = """
    SELECT
        {first} + number AS detection_id,
        ({first} + number) // 10 AS run_id,
        md5(((({first} + number) // 10))::VARCHAR) AS image_id,
        'photos' AS bucket,
        'camera-' || (number % 97) || '/' || (({first} + number) // 10) || '.jpg' AS key,
        md5('v' || (({first} + number) // 10)) AS version,
        '{detector}' AS detector, '1' AS detector_version, 'f00d' AS fingerprint,
        '3.0' AS model_version, (number % 10)::INTEGER AS ordinal, 'label' AS kind,
        'Label ' || floor(200 * pow(random(), 3))::INTEGER AS label,
        round(0.5 + random() / 2, 4) AS confidence,
        round(random() / 2, 4) AS box_left, round(random() / 2, 4) AS box_top,
        round(random() / 2, 4) AS box_width, round(random() / 2, 4) AS box_height,
        '{{}}' AS attributes,
        TIMESTAMPTZ '{month}' + to_microseconds(
            ((number // 10) * 10 * 2419200000000 // {rows})::BIGINT
        ) AS detected_at,
        detected_at AS uploaded_at, NULL::TIMESTAMPTZ AS deleted_at,
        1920 AS width_px, 1080 AS height_px, NULL::INTEGER AS start_ms, NULL::INTEGER AS end_ms,
        NULL::INTEGER AS track
    FROM range({rows}) AS numbers (number)
    ORDER BY label, detected_at
"""

QUESTIONS = {
    "a frequent label in a week": """
        SELECT count(*), avg(confidence) FROM detections WHERE label = 'Label 3'
        AND detected_at >= '2025-06-08' AND detected_at < '2025-06-15'
    """,
    "a rare label in a week, with images": """
        SELECT bucket, key, confidence FROM detections WHERE label = 'Label 180'
        AND detected_at >= '2025-06-08' AND detected_at < '2025-06-15'
        ORDER BY detected_at DESC LIMIT 100
    """,
    "counts of a label by day, all months": """
        SELECT date_trunc('day', make_timestamp(epoch_us(detected_at))) AS day, count(*)
        FROM detections
        WHERE label = 'Label 3' GROUP BY 1 ORDER BY 1
    """,
    "counts by day, all labels and months": """
        SELECT date_trunc('day', make_timestamp(epoch_us(detected_at))) AS day, count(*)
        FROM detections
        GROUP BY 1 ORDER BY 1
    """,
}


def fill(archive: Archive, rows: int) -> float:
    """Write so many detections; return how many seconds the writer took."""
    seconds = 0.0
    each = rows // (MONTHS * len(DETECTORS))
    first = 0
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for number in range(MONTHS):
            month = months_before(NEWEST, MONTHS - number)
            for detector in DETECTORS:
                with FileWriter(archive, detector, f"{month:%Y-%m}", uuid4()) as writer:
                    left = each
                    while left:
                        some = min(left, MAX_ROWS)
                        made = connection.sql(
                            ROWS.format(first=first, rows=some, detector=detector, month=month)
                        ).to_arrow_table()
                        began = time.monotonic()
                        for batch in made.cast(schema()).to_batches():
                            writer.write(batch)
                        seconds += time.monotonic() - began
                        left -= some
                        first += some
                    began = time.monotonic()
                archive.publish(writer.files, [])
                seconds += time.monotonic() - began
    return seconds


def multiply(archive: Archive, folder: Path, copies: int) -> None:
    """List links of each file too."""
    links = []
    for file in archive.files:
        for _ in range(copies - 1):
            name = new_name(file.detector, file.month)
            (folder / name).hardlink_to(folder / file.name)
            links.append(file.model_copy(update={"name": name}))
    archive.publish(links, [])


def ask(connection: Any) -> dict[str, float]:
    """Return the median time of each question, in seconds."""

    def timed(sql: str) -> float:
        began = time.monotonic()
        connection.sql(sql).fetchall()
        return time.monotonic() - began

    return {
        name: round(statistics.median(timed(counted(sql)) for _ in range(ROUNDS)), 3)
        for name, sql in QUESTIONS.items()
    }


def counted(sql: str) -> str:
    """Return a query with one row, so that no time with a zone has to become a Python value."""
    return f"SELECT count(*) FROM ({sql})"


def by_duckdb(archive: Archive, folder: Path) -> dict[str, float]:
    """Ask the files themselves."""
    names = [str(folder / file.name) for file in archive.files]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE VIEW detections AS FROM read_parquet({names!r})")
        return ask(connection)


def by_query(archive: Archive) -> dict[str, float]:
    """Ask as ``retinue query --archive`` does."""
    with duckdb.connect(config={"memory_limit": "1GB"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("detections", dataset(archive))
        return ask(connection)


def table(found: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = [
        f"| {found['detections'] / 1e6:,.0f} million detections, seconds | DuckDB | `query` |",
        "|---|---|---|",
        *(
            f"| {name} | {found['duckdb'][name]:.2f} | {found['query'][name]:.2f} |"
            for name in QUESTIONS
        ),
    ]
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--detections", type=int, default=2_400_000)
    parser.add_argument("--copies", type=int, default=10)
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="retinue-bench-") as folder:
        archive = Archive.open_or_create(Folder(Path(folder)))
        seconds = fill(archive, asked.detections)
        written = sum(file.rows for file in archive.files)
        multiply(archive, Path(folder), asked.copies)
        rows = sum(file.rows for file in archive.files)
        found = {
            "copies": asked.copies,
            "machine": platform.processor() or platform.machine(),
            "detections": rows,
            "bytes": sum(file.bytes for file in archive.files),
            "written_per_second": round(written / seconds),
            "duckdb": by_duckdb(archive, Path(folder)),
            "query": by_query(archive),
        }
    OUTPUT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_tables(page, {"archive": table(found)}), encoding="utf-8")
    print(json.dumps(found, indent=2))  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
