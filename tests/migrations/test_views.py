"""The views answer what their names promise."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from psycopg import sql
from retinue_history import DetectionRecord, History, RemovedObject
from retinue_history.analysis.selection import Selection
from sqlalchemy import Engine, text

Make = Callable[..., Any]


def found(*labels: str) -> tuple[DetectionRecord, ...]:
    return tuple(DetectionRecord("label", label, 0.5) for label in labels)


def latest(engine: Engine) -> set[tuple[str, str, str]]:
    query = text("SELECT key, detector, label FROM latest_detections")
    with engine.connect() as connection:
        return {(key, detector, label) for key, detector, label in connection.execute(query)}


def test_latest_detections_are_those_of_the_newest_success(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    cat = image("cat")
    noon = cat.uploaded_at
    old = run(cat, "e1", detections=found("old", "older"))
    newer = run(
        cat, "e2", fingerprint="g", detections=found("new"), started_at=noon + timedelta(hours=1)
    )
    failed = run(cat, "e3", fingerprint="h", error_code="x", started_at=noon + timedelta(hours=2))
    faces = run(cat, "e1", detector="faces", detections=found("face"))
    # Recorded in the wrong order: what counts is when the detector looked.
    history.record([cat], [newer, failed, faces])
    history.record([cat], [old])
    assert latest(engine) == {("cat", "labels", "new"), ("cat", "faces", "face")}

    nothing = run(cat, "e4", fingerprint="i", started_at=noon + timedelta(hours=3))
    history.record([cat], [nothing])
    assert latest(engine) == {("cat", "faces", "face")}


def test_of_two_runs_at_the_same_moment_one_is_the_latest(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    cat = image("cat")
    for fingerprint in "ab":
        history.record([cat], [run(cat, fingerprint=fingerprint, detections=found(fingerprint))])
    assert latest(engine) == {("cat", "labels", "b")}


def test_a_deleted_image_stays_in_the_history_alone(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    cat = image("cat", sequencer="1")
    removed = RemovedObject("photos", "cat", None, "2", cat.uploaded_at)
    history.record([cat], [run(cat, detections=found("cat"))], [removed])
    assert latest(engine) == set()
    with engine.connect() as connection:
        (row,) = connection.execute(text("SELECT label, deleted_at FROM detection_history"))
    assert tuple(row) == ("cat", removed.removed_at)


def test_failed_runs_are_those_whose_key_has_not_succeeded(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    cat, dog = image("cat"), image("dog")
    history.record(
        [cat, dog],
        [
            run(cat, "e1", error_code="throttled"),
            run(dog, "e1", error_code="corrupt", error_message="not a JPEG", retryable=False),
            run(dog, "e1", error_code="timeout", fingerprint="g"),
        ],
    )
    history.record([], [run(cat, "e2"), run(dog, "e2", detector="faces")])
    query = text(
        "SELECT key, error_code, error_message, retryable, fingerprint FROM failed_runs ORDER BY 2"
    )
    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(query)] == [
            ("dog", "corrupt", "not a JPEG", False, "f"),
            ("dog", "timeout", "it failed", True, "g"),
        ]


def test_the_latest_run_is_the_newest_with_options_in_use(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    both, one = image("both"), image("one")
    later = both.uploaded_at + timedelta(hours=1)
    history.record(
        [both, one],
        [
            run(both, fingerprint="f", detections=found("f")),
            run(both, fingerprint="g", detections=found("g"), started_at=later),
            run(one, fingerprint="g", detections=found("g")),
            run(one, detector="faces", detections=found("face")),
        ],
    )

    def seen() -> str:
        """Return the latest run of the image with two runs, equal in the views and in exports."""
        selected = sql.SQL(
            "SELECT key, detector, label FROM runs JOIN images USING (image_id) "
            "JOIN detections ON {} WHERE {}"
        ).format(Selection().detection_condition(), Selection().run_condition())
        with engine.connect() as connection:
            exported = connection.execute(text(selected.as_string())).all()
            runs = connection.execute(text("SELECT key, detector, fingerprint FROM latest_runs"))
            assert {tuple(row) for row in exported} == latest(engine)
            [label] = {label for key, _, label in exported if key == "both"}
            assert ("both", "labels", label) in {tuple(row) for row in runs}
        assert latest(engine) - {("both", "labels", label)} == {
            ("one", "labels", "g"),
            ("one", "faces", "face"),
        }
        return label

    f, g, unseen = (("labels", "1", fingerprint) for fingerprint in "fgh")
    assert seen() == "g"
    history.use_configurations("pool a", [g])
    assert seen() == "g"
    history.use_configurations("pool a", [f])
    assert seen() == "f", "what was tried and dropped is not the latest"
    history.use_configurations("pool b", [g])
    assert seen() == "g", "two pools: both are in use, and the newest counts"
    history.use_configurations("pool b", [unseen])
    assert seen() == "f", "a deployment has begun: nothing of the new options is recorded yet"
    history.use_configurations("pool a", [unseen])
    assert seen() == "g"
    history.use_configurations("pool a", [f])

    with engine.connect() as connection:
        newest = "SELECT fingerprint, in_use FROM newest_runs WHERE key = 'both'"
        assert connection.execute(text(newest)).all() == [("g", False)]
        pools = "SELECT fingerprint, pools FROM detector_versions WHERE detector = 'labels'"
        assert dict(connection.execute(text(pools)).all()) == {"f": ["pool a"], "g": []}


def test_what_an_emulator_invented_is_left_out(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    cat = image("cat")
    history.record(
        [cat],
        [
            run(cat, fingerprint="f", detections=found("seen"), price_usd=Decimal(1)),
            run(
                cat,
                fingerprint="g",
                detections=found("invented"),
                model_version="emulator",
                price_usd=Decimal(1),
                started_at=cat.uploaded_at + timedelta(hours=1),
            ),
            run(cat, detector="faces", detections=found("face"), model_version="emulator"),
        ],
    )
    history.use_configurations("pool", [("labels", "1", "g"), ("faces", "1", "f")])
    assert latest(engine) == {("cat", "labels", "seen")}
    for query, answer in {
        "SELECT fingerprint FROM latest_runs": ["f"],
        "SELECT labels FROM image_labels": [["seen"]],
        "SELECT detectors FROM image_labels": [["labels"]],
        "SELECT label FROM label_counts_daily": ["seen"],
        "SELECT label FROM drift": ["seen"],
        "SELECT price_usd FROM run_costs": [Decimal(1)],
        "SELECT label FROM detection_history ORDER BY 1": ["face", "invented", "seen"],
    }.items():
        with engine.connect() as connection:
            assert connection.scalars(text(query)).all() == answer, query
