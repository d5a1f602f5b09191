"""The daily counts are those of a plain GROUP BY, whatever happens and whoever else writes."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from fakes.examples import DATABASE_EXAMPLES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retinue_history import ConnectionPool, DetectionRecord, History, HistoryDataError
from retinue_history.db.engine import create_history_engine
from retinue_history.upkeep.retention import MERGE_LABEL_COUNTS
from retinue_sdk.json_value import encode_json
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


NO_TIME = dict.fromkeys(("start_ms", "end_ms", "track"), st.none())

detections = st.lists(
    st.builds(
        DetectionRecord,
        kind=st.sampled_from(["label", "text"]),
        label=st.sampled_from(["Cat", "Dog", "☃", "x" * 2048]),
        confidence=st.floats(0, 1),
        box=st.none(),
        attributes=st.just("{}"),
        **NO_TIME,
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
merged_before = st.dates(date(2025, 11, 20), date(2026, 2, 15))  # the runs are of the days between
recorded = st.tuples(
    detections, st.integers(-900, 900), st.sampled_from([None, "1", "2"]), st.sampled_from("ab")
)


@settings(
    deadline=None,
    max_examples=DATABASE_EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(happened=st.lists(st.one_of(recorded, changes, merged_before), max_size=8))
def test_counts_are_exact(
    history: History, engine: Engine, image: Make, run: Make, happened: list[Any]
) -> None:
    for what in happened:
        if isinstance(what, str):
            with engine.begin() as connection:
                connection.execute(text(what))
            continue
        if isinstance(what, date):
            with engine.begin() as connection:
                connection.execute(MERGE_LABEL_COUNTS, {"before": what})
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


def test_a_label_that_is_gone_has_no_confidence(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    cat = DetectionRecord("label", "Cat", 0.5)
    history.record([image()], [run(image(), detections=(cat,))])
    for day in (date(2025, 1, 1), date(2027, 1, 1)):  # before and after the counts are merged
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM runs"))
            connection.execute(MERGE_LABEL_COUNTS, {"before": day})
            found = connection.scalar(
                text("SELECT count(*) FROM label_counts_daily WHERE mean_confidence > 0.1")
            )
        assert found == 0


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


def test_a_run_that_was_recorded_before_is_not_counted_again(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    found = (DetectionRecord("label", "Cat", 0.5), DetectionRecord("text", "a cat", 0.25))
    seen = [image(f"{number}") for number in range(3)]
    history.record(seen[:1], [run(seen[0], detections=found)])
    history.record(seen, [run(one, detections=found) for one in seen])
    assert counted(engine) == 6
    assert difference(engine) == []


def test_people_who_were_erased_are_not_counted(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "WITH one AS (INSERT INTO erasures (subject_kind, subject_digest) "
                "VALUES ('person', erasure_digest('ann')) RETURNING erasure_id) "
                "INSERT INTO erased_names SELECT erasure_digest('ann'), erasure_id FROM one"
            )
        )
    parents = {"parents": ["Secret"]}
    found = (
        DetectionRecord("face_match", "ann", 0.5, attributes=encode_json(parents)),
        DetectionRecord("face_match", "bob", 0.5),
        DetectionRecord("label", "Cat", 0.25),
    )
    history.record([image()], [run(image(), detections=found)])
    assert counted(engine) == 2
    assert difference(engine) == []
    with engine.connect() as connection:
        assert set(connection.scalars(text("SELECT label FROM labels"))) == {"bob", "Cat"}
        assert connection.scalar(text("SELECT count(*) FROM label_parents")) == 0


def test_a_worker_can_neither_change_a_count_nor_insert_without_counting(
    history_url: str, image: Make, run: Make
) -> None:
    url = f"{history_url}&options=-c%20role%3Dretinue_writer"
    cat = DetectionRecord("label", "Cat", 1, attributes=encode_json({"parents": ["Animal"]}))
    with closing(ConnectionPool(url)) as pool:
        History(pool).record([image()], [run(image(), detections=(cat,))])
    writer = create_history_engine(url)
    assert counted(writer) == 1
    for forbidden in (
        "INSERT INTO detections (run_id) SELECT run_id FROM runs",
        "UPDATE label_counts SET detections = 2",
        "SELECT count_detections('{1}', '{now}', '{}', '{}', '{}', '{a}', '{a}', '{1}', '{}')",
        "DELETE FROM detections",
    ):
        with pytest.raises(DBAPIError, match="permission denied"), writer.begin() as connection:
            connection.execute(text(forbidden))
    writer.dispose()


@settings(
    deadline=None,
    max_examples=DATABASE_EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    commits=st.lists(
        st.lists(
            st.builds(
                DetectionRecord,
                kind=st.sampled_from(["label", "moderation"]),
                label=st.sampled_from(["Cat", "Dog"]),
                confidence=st.just(0.5),
                box=st.none(),
                attributes=st.dictionaries(
                    st.sampled_from(["Parents", "parents", "other"]),
                    st.lists(st.sampled_from(["Animal", "Pet", "Thing"]), max_size=2),
                    max_size=2,
                ).map(encode_json),
                **NO_TIME,
            ),
            max_size=4,
        ),
        max_size=4,
    )
)
def test_every_label_and_parent_is_known(
    history: History, engine: Engine, image: Make, run: Make, commits: list[Any]
) -> None:
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE runs, labels, label_parents CASCADE"))
    for found in commits:
        seen = image(f"{uuid4()}")
        history.record([seen], [run(seen, detections=tuple(found))])
    every = [one for found in commits for one in found]
    with engine.connect() as connection:
        labels = connection.execute(text("SELECT label, kind FROM labels"))
        parents = connection.execute(text("SELECT label, parent FROM label_parents"))
        assert {tuple(row) for row in labels} == {(one.label, one.kind) for one in every}
        assert {tuple(row) for row in parents} == {
            (one.label, parent)
            for one in every
            for name in ("Parents", "parents")
            for parent in json.loads(one.attributes).get(name, ())
        }


def test_parents_in_two_spellings_are_parents(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    both = {"Parents": ["Animal"], "parents": ["Animal"]}
    for attributes in ({}, both):
        seen = image(f"{uuid4()}")
        found = DetectionRecord("label", "Cat", 0.5, attributes=encode_json(attributes))
        history.record([seen], [run(seen, detections=(found,))])
    with engine.connect() as connection:
        assert connection.execute(text("SELECT label, parent FROM label_parents")).all() == [
            ("Cat", "Animal")
        ]


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
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM detections")) == 0
