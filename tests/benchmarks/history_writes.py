"""Measure the images per second that one connection records, against usual ways to write rows."""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import psutil
import psycopg
from retinue_history import ConnectionPool, DetectionRecord, History, ImageRecord, RunKey, RunRecord
from retinue_history.db.engine import create_history_engine
from retinue_sdk import ImageReference
from sqlalchemy import Column, Engine, MetaData, Table, insert
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import BigInteger, Boolean, DateTime, Double, Integer, Numeric, Text, Uuid

Batch = tuple[list[ImageRecord], list[RunRecord]]
_BULK = 100
_ROUNDS = 3  # alternating with the baseline; the median counts


@dataclass(frozen=True, slots=True)
class Rate:
    """Images per second with ten detections each: medians of alternating rounds.

    Attributes:
        name: How many images a commit.
        images_per_second: By ``History.record``.
        client_cpu_ms: What this process works for an image, making the records included.
        server_cpu_ms: What the server's process for the connection works for it.
        target: How many a second there should be.
        baseline: How the others go in.
        baseline_images_per_second: How many of them a second.
        ratio: How many times as many ours are.
    """

    name: str
    images_per_second: float
    client_cpu_ms: float
    server_cpu_ms: float
    target: int
    baseline: str
    baseline_images_per_second: float
    ratio: float


def measure_writes(connection: psycopg.Connection, url: str, *, seconds: float = 5.0) -> list[Rate]:
    """Record for so many seconds in each way and round, then delete what was recorded.

    Args:
        connection: The history's, as its owner.
        url: The same history.
        seconds: Length of a round.
    """
    connection.execute("SELECT add_detections_months(0)")
    engine = create_history_engine(url, application_name="bench", pool_size=1)
    pool = ConnectionPool(url, application_name="bench", max_size=1)
    history = History(pool)
    with pool.connection() as pooled:
        backend = psutil.Process(pooled.info.backend_pid)

    def ours(batch: Batch) -> None:
        history.record(*batch)

    rates = []
    with psycopg.connect(url) as plain:
        for name, size, target, baseline, theirs in (
            (
                f"{_BULK} images a commit",
                _BULK,
                3_000,
                "SQLAlchemy, VALUES of many rows",
                lambda batch: _multi_values(engine, batch),
            ),
            ("one image a commit", 1, 800, "row by row", lambda batch: _row_by_row(plain, batch)),
        ):
            rounds = [
                (_round(ours, size, seconds, backend), _round(theirs, size, seconds, backend))
                for _ in range(_ROUNDS)
            ]
            (rate, client, server), (base, _, _) = (
                sorted(one)[_ROUNDS // 2] for one in zip(*rounds, strict=True)
            )
            rates.append(
                Rate(
                    name, round(rate), round(client, 3), round(server, 3), target, baseline,
                    round(base), round(rate / base, 1),
                )
            )  # fmt: skip
    engine.dispose()
    pool.close()
    # Detections first, in one statement: counted down once, and not once for each run.
    made = "(SELECT run_id FROM runs WHERE event_id = 'bench')"
    connection.execute(f"DELETE FROM detections WHERE run_id IN {made}")
    connection.execute("DELETE FROM runs WHERE event_id = 'bench'")
    return rates


def syncs_a_second(seconds: float = 2.0) -> int:
    """Return how often per second the disk syncs 8 KiB, which limits a connection's commits."""
    with tempfile.TemporaryFile() as file:
        os.pwrite(file.fileno(), bytes(8192 * 1000), 0)
        os.fsync(file.fileno())
        count, began = 0, time.monotonic()
        while time.monotonic() - began < seconds:
            os.pwrite(file.fileno(), os.urandom(8192), count % 1000 * 8192)
            os.fdatasync(file.fileno())
            count += 1
    return round(count / seconds)


def server_cpu_ms(connection: psycopg.Connection) -> float:
    """Return the processor time of a connection's server process, which runs on this machine."""
    return _cpu_ms(psutil.Process(connection.info.backend_pid))


def _cpu_ms(process: psutil.Process) -> float:
    times = process.cpu_times()
    return (times.user + times.system) * 1000


def _round(
    write: Callable[[Batch], None], size: int, seconds: float, backend: psutil.Process
) -> tuple[float, float, float]:
    """Return images a second; milliseconds of this process's CPU for each, and of the server's."""
    name = f"bench/{time.time_ns()}"
    for number in range(8):  # the connection, and the plans that are kept
        write(_batch(f"{name}/warm/{number}", size))
    count, began, cpu, server = 0, time.monotonic(), time.process_time(), _cpu_ms(backend)
    while time.monotonic() - began < seconds:
        write(_batch(f"{name}/{count}", size))
        count += size
    return (
        count / (time.monotonic() - began),
        (time.process_time() - cpu) * 1000 / count,
        (_cpu_ms(backend) - server) / count,
    )


def _batch(name: str, size: int) -> Batch:
    now = datetime.now(UTC)
    images = [
        ImageRecord(_image_id(key), "photos", key, "v", True, now, "10")
        for key in (f"{name}/{number}.jpg" for number in range(size))
    ]
    return images, [
        RunRecord(
            RunKey(image.image_id, "objects", "2", "f2"),
            "bench",
            "succeeded",
            False,
            now,
            12.0,
            model_version="m2",
            detections=tuple(
                DetectionRecord("label", f"object {place:02}", 0.9, (0.1, 0.1, 0.2, 0.2))
                for place in range(10)
            ),
        )
        for image in images
    ]


def _image_id(key: str) -> UUID:
    return ImageReference(bucket="photos", key=key, version_id="v").image_id


def _row_by_row(connection: psycopg.Connection, batch: Batch) -> None:
    """Write rows in the simplest way: a prepared statement for each row."""
    for image, run in zip(*batch, strict=True):
        connection.execute(
            "INSERT INTO images (image_id, bucket, key, version, versioned, uploaded_at, "
            "last_uploaded_at, sequencer) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) "
            "ON CONFLICT DO NOTHING",
            (
                image.image_id, image.bucket, image.key, image.version, image.versioned,
                image.uploaded_at, image.uploaded_at, image.sequencer,
            ),
        )  # fmt: skip
        row = connection.execute(
            "INSERT INTO runs (image_id, detector, detector_version, fingerprint, event_id, "
            "outcome, retryable, model_version, started_at, duration_ms, detection_count, "
            "billed_units, price_usd) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 0, 0) "
            "ON CONFLICT DO NOTHING RETURNING run_id",
            (
                image.image_id, run.key.detector, run.key.detector_version, run.key.fingerprint,
                run.event_id, run.outcome, run.retryable, run.model_version, run.started_at,
                run.duration_ms, len(run.detections),
            ),
        ).fetchone()  # fmt: skip
        assert row is not None
        for ordinal, found in enumerate(run.detections):
            assert found.box is not None
            connection.execute(
                "INSERT INTO detections (run_id, image_id, ordinal, kind, label, confidence, "
                "box_left, box_top, box_width, box_height, detected_at) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    row[0], image.image_id, ordinal, found.kind, found.label, found.confidence,
                    *found.box, run.started_at,
                ),
            )  # fmt: skip
    connection.commit()


_METADATA = MetaData()
_IMAGES = Table(
    "images",
    _METADATA,
    Column("image_id", Uuid, primary_key=True),
    *(Column(name, Text) for name in ("bucket", "key", "version", "sequencer")),
    Column("versioned", Boolean),
    *(Column(name, DateTime(timezone=True)) for name in ("uploaded_at", "last_uploaded_at")),
)
_RUNS = Table(
    "runs",
    _METADATA,
    Column("run_id", BigInteger, primary_key=True),
    Column("image_id", Uuid),
    *(
        Column(name, Text)
        for name in (
            "detector", "detector_version", "fingerprint", "event_id", "outcome", "model_version",
        )
    ),
    Column("retryable", Boolean),
    Column("started_at", DateTime(timezone=True)),
    Column("duration_ms", Double),
    Column("detection_count", Integer),
    *(Column(name, Numeric) for name in ("billed_units", "price_usd")),
)  # fmt: skip
_DETECTIONS = Table(
    "detections",
    _METADATA,
    *(Column(name, BigInteger) for name in ("run_id", "ordinal")),
    Column("image_id", Uuid),
    *(Column(name, Text) for name in ("kind", "label")),
    *(
        Column(name, Double)
        for name in ("confidence", "box_left", "box_top", "box_width", "box_height")
    ),
    Column("attributes", JSONB),
    Column("detected_at", DateTime(timezone=True)),
)


def _multi_values(engine: Engine, batch: Batch) -> None:
    """SQLAlchemy's ``insert().values([…])``, a statement for each table."""
    images, runs = batch
    with engine.begin() as connection:
        connection.execute(
            postgresql.insert(_IMAGES)
            .values([
                {
                    "image_id": image.image_id, "bucket": image.bucket, "key": image.key,
                    "version": image.version, "versioned": image.versioned,
                    "uploaded_at": image.uploaded_at, "last_uploaded_at": image.uploaded_at,
                    "sequencer": image.sequencer,
                }
                for image in images
            ])
            .on_conflict_do_nothing()
        )  # fmt: skip
        rows = connection.execute(
            postgresql.insert(_RUNS)
            .values([
                {
                    "image_id": run.key.image_id, "detector": run.key.detector,
                    "detector_version": run.key.detector_version,
                    "fingerprint": run.key.fingerprint, "event_id": run.event_id,
                    "outcome": run.outcome, "retryable": run.retryable,
                    "model_version": run.model_version, "started_at": run.started_at,
                    "duration_ms": run.duration_ms, "detection_count": len(run.detections),
                    "billed_units": run.billed_units, "price_usd": run.price_usd,
                }
                for run in runs
            ])
            .on_conflict_do_nothing()
            .returning(_RUNS.c.run_id, _RUNS.c.image_id)
        )  # fmt: skip
        ids = {image_id: run_id for run_id, image_id in rows}
        connection.execute(
            insert(_DETECTIONS).values([
                {
                    "run_id": ids[run.key.image_id], "image_id": run.key.image_id,
                    "ordinal": ordinal, "kind": found.kind, "label": found.label,
                    "confidence": found.confidence,
                    **dict(
                        zip(("box_left", "box_top", "box_width", "box_height"), found.box or (),
                            strict=True)
                    ),
                    "attributes": {}, "detected_at": run.started_at,
                }
                for run in runs
                for ordinal, found in enumerate(run.detections)
            ])
        )  # fmt: skip
