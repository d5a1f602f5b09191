"""The daily counts are those of a plain GROUP BY, whatever happens and whoever else writes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retinue_history import DetectionRecord, History, HistoryDataError
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

Make = Callable[..., Any]

COUNTED = """
    SELECT day, detector, detector_version, model_version, kind, label, detections, mean_confidence
    FROM label_counts_daily
"""
PLAIN = """
    SELECT
        (runs.started_at AT TIME ZONE 'UTC')::date, runs.detector, runs.detector_version,
        runs.model_version, detections.kind,
        CASE detections.kind WHEN 'text' THEN '' ELSE detections.label END, count(*),
        sum((confidence * 1000000)::bigint) / 1000000.0 / count(*)
    FROM detections JOIN runs ON runs.run_id = detections.run_id
    GROUP BY 1, 2, 3, 4, 5, 6
"""


def difference(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(
            connection.execute(
                text(f"({COUNTED} EXCEPT {PLAIN}) UNION ALL ({PLAIN} EXCEPT {COUNTED})")
            )
        )


def counted(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT sum(detections) FROM label_counts_daily")) or 0)


detections = st.lists(
    st.builds(
        DetectionRecord,
        kind=st.sampled_from(["label", "text"]),
        label=st.sampled_from(["Cat", "Dog", "☃", "x" * 2048]),
        confidence=st.floats(0, 1),
        box=st.none(),
        attributes=st.just({}),
    ),
    max_size=6,
)
changes = st.sampled_from(
    [
        "DELETE FROM detections WHERE detection_id % 2 = 0",
        "DELETE FROM runs WHERE run_id % 2 = 0",
        "UPDATE detections SET label = 'Cat', confidence = 0.5 WHERE detection_id % 3 = 0",
        "UPDATE detections SET kind = 'text' WHERE label = 'Dog'",
    ]
)
recorded = st.tuples(
    detections, st.integers(-900, 900), st.sampled_from([None, "1", "2"]), st.sampled_from("ab")
)


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(happened=st.lists(st.one_of(recorded, changes), max_size=8))
def test_counts_are_exact(
    history: History, engine: Engine, image: Make, run: Make, happened: list[Any]
) -> None:
    for what in happened:
        if isinstance(what, str):
            with engine.begin() as connection:
                connection.execute(text(what))
            continue
        found, hours, model, detector = what
        seen = image(f"{uuid4()}")
        history.record(
            [seen],
            [
                run(
                    seen,
                    detector=detector,
                    model_version=model,
                    started_at=seen.uploaded_at + timedelta(hours=hours),
                    detections=tuple(found),
                )
            ],
        )
    assert difference(engine) == []


def test_counts_are_exact_while_several_write_and_delete(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    def write(worker: int) -> None:
        for number in range(15):
            seen = image(f"{worker}/{number}")
            labels = [f"label {(worker + number + place) % 7}" for place in range(6)]
            found = tuple(DetectionRecord("label", label, 0.25) for label in labels)
            history.record([seen], [run(seen, detections=found)])

    def delete() -> None:
        for _ in range(15):
            with engine.begin() as connection:
                connection.execute(
                    text(
                        "DELETE FROM runs WHERE run_id = ANY (ARRAY(SELECT run_id FROM runs"
                        " ORDER BY run_id LIMIT 2 FOR UPDATE SKIP LOCKED))"
                    )
                )

    with ThreadPoolExecutor(4) as pool:
        for done in [*(pool.submit(write, worker) for worker in range(3)), pool.submit(delete)]:
            done.result()
    assert counted(engine) > 0
    assert difference(engine) == []


def test_a_transaction_that_is_rolled_back_counts_for_nothing(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    cat = DetectionRecord("label", "Cat", 0.5)
    with pytest.raises(HistoryDataError):
        history.record([image()], [run(image(), detections=(cat, DetectionRecord("x", "y", 2)))])
    assert counted(engine) == 0
    history.record([image()], [run(image(), detections=(cat,))])
    history.record([image()], [run(image(), detections=(cat,))])
    assert counted(engine) == 1


def test_what_counts_are_made_of_cannot_change(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    history.record([image()], [run(image(), detections=(DetectionRecord("label", "Cat", 1),))])
    for change in (
        "UPDATE runs SET model_version = 'other'",
        "UPDATE runs SET started_at = now()",
        "UPDATE detections SET detected_at = now()",
    ):
        with pytest.raises(DBAPIError), engine.begin() as connection:
            connection.execute(text(change))
    assert difference(engine) == []


def test_truncating_empties_the_counts(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    history.record([image()], [run(image(), detections=(DetectionRecord("label", "Cat", 1),))])
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE runs CASCADE"))
    assert counted(engine) == 0
