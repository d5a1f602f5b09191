"""Months come and go by policy; purging leaves nothing behind; doing it again does nothing."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from retinue_history import DetectionRecord, History, HistoryUnavailableError, RemovedObject
from retinue_history.upkeep.maintenance import MONTHS_AHEAD, Retention, maintain, months_before
from sqlalchemy import Engine, text

Make = Callable[..., Any]

FOUND = (DetectionRecord("label", "Cat", 0.5), DetectionRecord("label", "Dog", 0.5))
FOR_EVER = Retention(deleted_images_days=None)


def told(engine: Engine, keep: Retention, *, dry_run: bool = False) -> list[str]:
    lines: list[str] = []
    maintain(engine, keep, dry_run=dry_run, tell=lines.append)
    return lines


def value(engine: Engine, query: str) -> Any:
    with engine.connect() as connection:
        return connection.scalar(text(query))


def name(month: datetime) -> str:
    return f"detections_{month:%Y_%m}"


@pytest.fixture
def ages(history: History, image: Make, run: Make) -> list[datetime]:
    """Return an image in this month and in each of four before, with a raw response."""
    months = [months_before(datetime.now(UTC), n) for n in range(5)]
    for number, month in enumerate(months):
        seen = image(f"{number}.jpg", uploaded_at=month)
        done = run(seen, started_at=month, detections=FOUND, raw_response=f'{{"n":{number}}}')
        history.record([seen], [done])
    return months


def test_months_are_made_ahead_and_rows_that_wait_get_theirs(
    engine: Engine, ages: list[datetime]
) -> None:
    assert value(engine, "SELECT count(*) FROM detections_default") == 8
    wanted = sorted(map(name, ages[1:]))
    assert told(engine, FOR_EVER, dry_run=True) == [f"would add {month}" for month in wanted]
    assert told(engine, FOR_EVER) == [f"added {month}" for month in wanted]
    assert told(engine, FOR_EVER) == []
    assert value(engine, "SELECT count(*) FROM detections_default") == 0
    assert value(engine, "SELECT count(*) FROM detection_history") == 10
    assert value(engine, "SELECT sum(detections) FROM label_counts_daily") == 10
    ahead = months_before(datetime.now(UTC), -MONTHS_AHEAD)
    assert value(engine, f"SELECT count(*) FROM {name(ahead)}") == 0


def test_a_month_that_is_over_is_dropped_and_its_counts_stay(
    engine: Engine, history: History, ages: list[datetime], image: Make, run: Make
) -> None:
    told(engine, FOR_EVER)
    keep = Retention(detections_months=2, deleted_images_days=None)
    gone = sorted(map(name, ages[3:]))
    assert told(engine, keep, dry_run=True) == [f"would drop {month}" for month in gone]
    assert value(engine, "SELECT count(*) FROM detections") == 10
    assert told(engine, keep) == [f"dropped {month}" for month in gone]
    assert told(engine, keep) == []
    assert value(engine, "SELECT count(*) FROM detection_history") == 6
    assert value(engine, "SELECT sum(detections) FROM label_counts_daily") == 10
    assert value(engine, "SELECT count(*) FROM latest_runs") == 5
    # Late news of a month that is gone are taken, counted, and dropped in their turn.
    seen = image("late.jpg")
    history.record([seen], [run(seen, started_at=ages[4], detections=FOUND)])
    assert value(engine, "SELECT sum(detections) FROM label_counts_daily") == 12
    assert told(engine, keep) == [f"added {gone[0]}", f"dropped {gone[0]}"]
    assert value(engine, "SELECT sum(detections) FROM label_counts_daily") == 12


def test_a_run_whose_detections_were_dropped_disagrees_with_none(
    engine: Engine, history: History, image: Make, run: Make
) -> None:
    now = datetime.now(UTC)
    looks = (("old", months_before(now, 4), FOUND), ("new", now, FOUND), ("other", now, ()))
    seen = image("a.jpg")
    runs = [
        run(seen, detector=name, started_at=when, detections=found) for name, when, found in looks
    ]
    history.record([seen], runs)
    pairs = "SELECT count(DISTINCT (detector_a, detector_b)) FROM detector_agreement"
    assert value(engine, pairs) == 3
    told(engine, Retention(detections_months=2, deleted_images_days=None))
    assert value(engine, pairs) == 1
    assert value(engine, "SELECT min(found_by) FROM detector_agreement") == "only a"


def test_raw_responses_have_a_shorter_life(engine: Engine, ages: list[datetime]) -> None:
    days = (datetime.now(UTC) - ages[2]).days
    keep = Retention(raw_responses_days=days, deleted_images_days=None)
    assert "would have forgot 3 raw responses" not in told(engine, FOR_EVER, dry_run=True)
    assert told(engine, keep)[-1] == "forgot 3 raw responses"
    assert told(engine, keep) == []
    assert value(engine, "SELECT count(*) FROM runs WHERE raw_response IS NOT NULL") == 2
    assert value(engine, "SELECT count(*) FROM detections") == 10


def test_deleted_images_are_purged_after_their_grace(
    engine: Engine, history: History, ages: list[datetime], image: Make, run: Make
) -> None:
    now = datetime.now(UTC)
    history.record(
        [],
        removed=[
            RemovedObject("photos", "1.jpg", None, "20", now - timedelta(days=40)),
            RemovedObject("photos", "2.jpg", None, "20", now - timedelta(days=10)),
        ],
    )
    told(engine, FOR_EVER)
    keep = Retention(deleted_images_days=30)
    assert told(engine, keep) == [
        "purged 1 deleted images",
        "purged 1 removals of images that are gone",
    ]
    assert told(engine, keep) == []
    left = "SELECT string_agg(key, ' ' ORDER BY key) FROM images"
    assert value(engine, left) == "0.jpg 2.jpg 3.jpg 4.jpg"
    assert value(engine, "SELECT count(*) FROM detections") == 8
    assert value(engine, "SELECT sum(detections) FROM label_counts_daily") == 8
    # It may come again.
    back = image("1.jpg", sequencer="30")
    assert history.record([back], [run(back, detections=FOUND)])


def test_counts_of_several_workers_are_merged(engine: Engine, ages: list[datetime]) -> None:
    told(engine, FOR_EVER)
    old = "FROM label_counts WHERE day < now()::date - 3"
    assert value(engine, f"SELECT count(*) {old} AND shard <> 0") == 0
    assert value(engine, "SELECT sum(detections) FROM label_counts_daily") == 10


def test_two_do_not_maintain_at_once(engine: Engine, history_url: str) -> None:
    from retinue_history.upkeep.maintenance import _LOCK

    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        with pytest.raises(HistoryUnavailableError, match="another process is maintaining"):
            told(engine, FOR_EVER)


@pytest.mark.parametrize(
    ("moment", "months", "expected"),
    [
        ((2026, 3, 31), 1, (2026, 2, 1)),
        ((2026, 1, 1), 1, (2025, 12, 1)),
        ((2026, 5, 5), 29, (2023, 12, 1)),
    ],
)
def test_months_before(
    moment: tuple[int, int, int], months: int, expected: tuple[int, int, int]
) -> None:
    assert months_before(datetime(*moment, tzinfo=UTC), months) == datetime(*expected, tzinfo=UTC)
