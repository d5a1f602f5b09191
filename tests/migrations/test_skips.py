"""Skips: rows that stand in nobody's way, and the revision that brings them."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from retinue_history import (
    DetectionRecord,
    DetectionSummary,
    History,
    HistoryDataError,
    skip_event_id,
)
from sqlalchemy import Engine, text

Make = Callable[..., Any]
SKIPPED = {
    "outcome": "skipped",
    "retryable": True,
    "error_code": "skipped_by_key",
    "error_message": "why",
}


def outcomes(engine: Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT event_id, outcome FROM runs ORDER BY run_id"))
        return [(event_id, outcome) for event_id, outcome in rows]


def test_a_skip_settles_nothing_and_is_recorded_once(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    cat = image("cat")
    skip = run(cat, skip_event_id("e1"), **SKIPPED, saved_usd=Decimal("0.001"))
    assert set(history.record([cat], [skip])) == {(skip.key, skip.event_id)}
    assert history.record([cat], [skip]) == {}
    assert history.done_and_erased([(skip.key, "e1")], [])[0] == set()
    assert history.summaries([skip.key]) == {}

    done = run(cat, "e1", detections=(DetectionRecord("label", "cat", 0.5),))
    assert set(history.record([cat], [done])) == {(done.key, done.event_id)}
    assert outcomes(engine) == [("e1/skipped", "skipped"), ("e1", "succeeded")]
    assert history.done_and_erased([(skip.key, "e1")], [])[0] == {skip.key}
    assert history.summaries([skip.key]) == {skip.key: [DetectionSummary("label", "cat", 0.5)]}
    with engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM skipped_runs")).all() == []


def test_views_about_runs_count_no_skips(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    cat = image("cat")
    found = (DetectionRecord("label", "Cat", 0.9),)
    failed = run(cat, "e2", detector="faces", error_code="x")
    skip = {**SKIPPED, "saved_usd": Decimal(1)}
    skips = [
        run(cat, skip_event_id("e1"), **skip),
        run(cat, skip_event_id("e1"), detector="text", **skip),
    ]
    history.record([cat], [run(cat, detections=found), failed, *skips])
    expected = {
        "SELECT detector, runs, failed_runs FROM detector_versions": {
            ("labels", 1, 0),
            ("faces", 1, 1),
        },
        "SELECT detector FROM latest_runs": {("labels",)},
        "SELECT detectors::text FROM image_labels": {("{labels}",)},
        "SELECT detector, runs FROM drift": {("labels", 1)},
        "SELECT detector, runs, failed_runs, skipped_runs FROM run_costs": {
            ("labels", 1, 0, 1),
            ("faces", 1, 1, 0),
            ("text", 0, 0, 1),
        },
        "SELECT detector FROM failed_runs": {("faces",)},
    }
    with engine.connect() as connection:
        for query, answer in expected.items():
            assert {tuple(row) for row in connection.execute(text(query))} == answer, query


def test_a_run_that_found_nothing_is_seen_as_such(history: History, image: Make, run: Make) -> None:
    cat = image("cat")
    nothing, failed = run(cat), run(cat, detector="faces", error_code="x")
    history.record([cat], [nothing, failed])
    assert history.summaries([nothing.key, failed.key]) == {nothing.key: []}


@pytest.mark.parametrize(
    "wrong",
    [
        {"saved_usd": None},
        {"saved_usd": Decimal(-1)},
        {"saved_usd": Decimal("NaN")},
        {"retryable": False},
        {"error_message": None},
    ],
)
def test_the_database_refuses_a_skip_that_is_none(
    history: History, image: Make, run: Make, wrong: dict[str, Any]
) -> None:
    cat = image("cat")
    with pytest.raises(HistoryDataError):
        history.record([cat], [run(cat, **{**SKIPPED, "saved_usd": Decimal(0), **wrong})])
