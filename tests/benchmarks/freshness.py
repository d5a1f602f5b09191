"""Measure the time from an upload to a committed row, at a low rate."""

import tempfile
import time
from pathlib import Path

import psycopg

from benchmarks.backlog import call_sqs, site
from benchmarks.contenders import Retinue
from benchmarks.process import MeasuredProcess

WARM_SECONDS = 4.0
PATIENCE_SECONDS = 60.0

COMMITTED = """
    SELECT image.key, extract(epoch FROM pg_xact_commit_timestamp(run.xmin))::float8
    FROM images AS image JOIN runs AS run USING (image_id)
"""


def p99_seconds(server_url: str, *, per_second: float, seconds: float, latency_ms: float) -> float:
    """Return the 99th percentile of the time from an event's arrival to its run's commit.

    Args:
        server_url: A PostgreSQL that keeps commit timestamps.
        per_second: Images a second, evenly spaced.
        seconds: For how long, after a warm-up.
        latency_ms: How long the detector service takes.
    """
    contender = Retinue(calls=32)
    sent: dict[str, float] = {}
    with site(server_url, latency_ms) as place, tempfile.TemporaryDirectory() as folder:
        environment = place.environment() | contender.environment(place)
        process = MeasuredProcess(contender.command(), environment, Path(folder, "log"))
        try:
            warm = int(WARM_SECONDS * per_second)
            bodies = contender.bodies(warm + int(seconds * per_second))
            call_sqs(place.sqs, "SendMessage", QueueUrl=place.queue_url, MessageBody=bodies[-1])
            with psycopg.connect(place.database_url, autocommit=True) as connection:
                _until(process, connection, 1)  # it has started
                began = time.monotonic()
                for number, body in enumerate(bodies[:-1]):
                    time.sleep(max(0.0, began + number / per_second - time.monotonic()))
                    if number >= warm:
                        sent[f"photos/2025/{number:07}.jpg"] = time.time()
                    call_sqs(place.sqs, "SendMessage", QueueUrl=place.queue_url, MessageBody=body)
                _until(process, connection, len(bodies))
                committed = dict(connection.execute(COMMITTED).fetchall())
        finally:
            process.stop()
    took = sorted(committed[key] - moment for key, moment in sent.items())
    return took[int(0.99 * (len(took) - 1))]


def _until(
    process: MeasuredProcess, connection: "psycopg.Connection[tuple[int]]", rows: int
) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        (count,) = connection.execute("SELECT count(*) FROM runs").fetchone() or (0,)
        if count >= rows:
            return
        process.cpu_seconds()  # which says so if it has ended
        time.sleep(0.1)
    raise TimeoutError(f"not {rows} runs after {PATIENCE_SECONDS:.0f} s")
