"""The views answer what their names promise."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from retinue_history import DetectionRecord, History, RemovedObject
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
