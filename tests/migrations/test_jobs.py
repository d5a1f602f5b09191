"""Jobs: one run and one charge for each, no slot too many, whatever stops between two steps."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from retinue_history import (
    Charge,
    ConnectionPool,
    DetectionRecord,
    History,
    ImageRecord,
    JobRecord,
    Jobs,
    OpenJob,
    RunKey,
    RunRecord,
    Slot,
    VideoRecord,
)
from sqlalchemy import Engine, text

Make = Callable[..., Any]

FACES = ("faces", "1", "f")
COST = Charge("video", Decimal(2), Decimal("0.2"))
DOG = DetectionRecord("label", "Dog", 0.9, None, "{}", 1000, 4000, 7)


@pytest.fixture
def pool(history_url: str) -> Iterator[ConnectionPool]:
    """Connections with a worker's rights."""
    with closing(ConnectionPool(f"{history_url}&options=-c%20role%3Dretinue_writer")) as pool:
        yield pool


@pytest.fixture
def jobs(pool: ConnectionPool) -> Jobs:
    """Return the jobs of the same database as ``history``."""
    return Jobs(pool)


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def wanted(image: ImageRecord, event_id: str = "event 1") -> JobRecord:
    return JobRecord(RunKey(image.image_id, *FACES), event_id, "service")


def claim(jobs: Jobs, holder: str = "worker", limit: int = 100, **given: Any) -> list[OpenJob]:
    return list(jobs.claim([FACES], holder=holder, lease_seconds=60, limit=limit, **given))


def reserve(jobs: Jobs, job: OpenJob, slots: int = 1, budget: Decimal | None = None) -> Slot:
    return jobs.reserve_slot(job, slots=slots, budget_usd=budget, expected=COST)


def ended(job: OpenJob, run: Make) -> RunRecord:
    fields = {"detections": (DOG,), "charges": (COST,), "price_usd": COST.price_usd}
    made: RunRecord = run(job.image, job.event_id, detector=job.key.detector, **fields)
    return made


def test_from_an_event_to_rows_with_times(
    history: History, jobs: Jobs, engine: Engine, image: Make, run: Make
) -> None:
    clip = image("clip.mp4", size_bytes=5)
    history.record([clip], jobs=[wanted(clip)])
    assert rows(engine, "SELECT key, state, attempt, expected_usd FROM open_jobs") == [
        ("clip.mp4", "wanted", 1, None)
    ]
    (job,) = claim(jobs)
    assert (job.image, job.video, job.attempt, job.has_slot) == (clip, None, 1, False)
    assert reserve(jobs, job) == Slot.GRANTED
    assert jobs.count("service") == 1
    jobs.started(job, "provider 1", look_after_seconds=0)
    (job,) = claim(jobs)
    assert (job.provider_job_id, job.has_slot, job.expected) == ("provider 1", True, COST)
    assert rows(engine, "SELECT state, worker, expected_usd FROM open_jobs") == [
        ("started", "worker", Decimal("0.2"))
    ]
    seen = VideoRecord(clip.image_id, 5000, 25.0, "h264", "mp4", 90)
    known = replace(job.image, width_px=640, height_px=360)
    run_id = jobs.finish(job, ended(job, run), image=known, video=seen)
    assert rows(engine, "SELECT run_id FROM runs") == [(run_id,)]
    assert rows(engine, "SELECT * FROM open_jobs") == []
    assert rows(
        engine,
        "SELECT key, label, start_ms, end_ms, track, video_ms, width_px FROM video_timeline",
    ) == [("clip.mp4", "Dog", 1000, 4000, 7, 5000, 640)]
    assert rows(engine, "SELECT price_usd FROM monthly_spending") == [(Decimal("0.2"),)]
