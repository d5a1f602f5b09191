"""Recording: exactly-once effect, whatever is delivered twice, at once, or after a failure."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from retinue_history import (
    DetectionRecord,
    History,
    HistoryDataError,
    ImageRecord,
    RemovedObject,
    RunKey,
    RunRecord,
)
from retinue_sdk.detection import MAX_LABEL_BYTES
from retinue_sdk.json_value import encode_json
from sqlalchemy import Engine, text

Make = Callable[..., Any]

CAT = DetectionRecord("label", "Cat", 0.9, (-0.1, 0.2, 0.5, 1.2), encode_json({"parents": ["Pet"]}))
SOFA = DetectionRecord("label", "Sofa", 1)
TOO_LONG = "x" * (MAX_LABEL_BYTES + 1)


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def counts(engine: Engine) -> tuple[int, int, int]:
    query = (
        "SELECT (SELECT count(*) FROM images), (SELECT count(*) FROM runs),"
        " (SELECT count(*) FROM detections)"
    )
    (only,) = rows(engine, query)
    return only


def test_what_is_recorded_is_read_back(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    cat = image("a folder/+%/ü\n☃.jpg", width_px=640, height_px=480, size_bytes=2**40, etag="e")
    done = run(
        cat,
        detections=(CAT, SOFA),
        model_version="3.0",
        billed_units=Decimal(1),
        price_usd=Decimal("0.001"),
        raw_response=encode_json({"Labels": [], "π": "☃"}),
        truncated=True,
    )
    new = history.record([cat], [done])
    assert rows(engine, "SELECT run_id FROM runs") == [(new[done.key, done.event_id],)]
    assert rows(
        engine,
        "SELECT s3_uri, image_id, ordinal, label, confidence, box_left, box_height, attributes,"
        " detected_at FROM detection_history ORDER BY ordinal",
    ) == [
        (f"s3://photos/{cat.key}", cat.image_id, 0, "Cat", 0.9, -0.1, 1.2,
         {"parents": ["Pet"]}, done.started_at),
        (f"s3://photos/{cat.key}", cat.image_id, 1, "Sofa", 1.0, None, None, {}, done.started_at),
    ]  # fmt: skip
    assert rows(
        engine,
        "SELECT detection_count, billed_units, price_usd, raw_response, model_version,"
        " truncated, error_code FROM runs",
    ) == [(2, Decimal(1), Decimal("0.001"), {"Labels": [], "π": "☃"}, "3.0", True, None)]
    assert rows(engine, "SELECT * FROM run_costs") == [
        ("labels", done.started_at.date(), 1, 0, Decimal(1), Decimal("0.001"), 0, Decimal(0))
    ]


def test_found_nothing_is_a_success_without_detections(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    history.record([image()], [run(image())])
    assert counts(engine) == (1, 1, 0)
    assert rows(engine, "SELECT * FROM failed_runs") == []
    assert rows(engine, "SELECT truncated FROM latest_runs") == [(False,)]


def test_recording_again_changes_nothing(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    images = [image(), image("dog.jpg"), image()]
    runs = [run(images[0], detections=(CAT,)), run(images[1], error_code="timeout")]
    new = history.record(images, runs)
    assert set(new) == {(run.key, run.event_id) for run in runs[:2]}
    before = rows(engine, "SELECT xmin::text, images.* FROM images ORDER BY image_id")
    assert history.record(images, runs) == {}
    assert history.record(images, [*runs, *runs]) == {}
    assert counts(engine) == (2, 2, 1)
    assert rows(engine, "SELECT xmin::text, images.* FROM images ORDER BY image_id") == before


def test_a_run_key_succeeds_once_within_a_call(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    runs = [run(image(), event, detections=(CAT,)) for event in ("event 1", "event 2")]
    assert set(history.record([image()], runs)) == {(runs[0].key, runs[0].event_id)}
    assert counts(engine) == (1, 1, 1)


def test_failed_attempts_stay_and_success_follows(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    attempts = [
        run(image(), "event 1", error_code="throttled"),
        run(image(), "replay 1", error_code="throttled"),
        run(image(), "replay 2", detections=(CAT,)),
    ]
    for number, attempt in enumerate(attempts):
        assert set(history.record([image()], [attempt])) == {(attempt.key, attempt.event_id)}
        assert len(rows(engine, "SELECT * FROM failed_runs")) == (number + 1 if number < 2 else 0)
    assert counts(engine) == (1, 3, 1)


def test_done(history: History, image: Make, run: Make) -> None:
    cat, dog, new = image("cat"), image("dog"), image("new")
    success = run(cat, "e1")
    retriable = run(cat, "e1", detector="faces", error_code="throttled")
    bad_image = run(dog, "e1", error_code="corrupt", retryable=False)
    history.record([cat, dog], [success, retriable, bad_image])

    def done(*attempts: tuple[RunRecord, str]) -> set[RunKey]:
        return history.done_and_erased([(of.key, event) for of, event in attempts], [])[0]

    assert history.done_and_erased([], []) == (set(), set())
    assert done((success, "e1"), (success, "another")) == {success.key}
    assert done((bad_image, "another")) == {bad_image.key}
    # Somebody asks again, for the very image that was found to be bad; a success needs no more.
    assert done((bad_image, "replay:1"), (success, "replay:1")) == {success.key}
    assert done((retriable, "e1")) == {retriable.key}
    assert done((retriable, "a replay")) == set()
    # Asked for by a redelivery and by a replay: the replay still wants its run.
    assert done((retriable, "e1"), (retriable, "a replay")) == set()
    other_options = replace(success, key=success.key._replace(fingerprint="other"))
    assert done((run(new), "e1"), (other_options, "e1")) == set()


def test_done_for_hundreds_of_keys(history: History, image: Make, run: Make) -> None:
    images = [image(f"{n}.jpg") for n in range(500)]
    runs = [run(each) for each in images]
    history.record(images, runs[::2])
    tasks = [(each.key, "event 1") for each in runs]
    assert history.done_and_erased(tasks, images) == ({each.key for each in runs[::2]}, set())


def test_two_workers_at_once_succeed_once(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    images: list[ImageRecord] = [image(f"{n}.jpg") for n in range(20)]
    barrier = Barrier(4)

    def work(worker: int) -> int:
        mine = images[worker:] + images[:worker]  # everybody in another order
        won = 0
        for _ in range(5):
            barrier.wait()
            runs = [run(each, f"event {worker}", detections=(CAT, SOFA)) for each in mine]
            removed = [RemovedObject("photos", f"{worker}.jpg", None, "01", mine[0].uploaded_at)]
            won += len(history.record(mine, runs, removed))
        return won

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 20
    assert counts(engine) == (20, 20, 40)


def test_sightings_of_one_image_are_merged(history: History, engine: Engine, image: Make) -> None:
    first = image(sequencer="0A", etag=None)
    later = replace(first, sequencer="0A1", etag="e", uploaded_at=first.uploaded_at + timedelta(1))
    sized = replace(first, sequencer=None, width_px=4, height_px=3, size_bytes=9)
    for calls in ([[first, later, sized]], [[sized], [later], [first]], [[later, first], [sized]]):
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM images"))
        for call in calls:
            history.record(call)
        assert rows(
            engine,
            "SELECT sequencer, etag, width_px, height_px, size_bytes, uploaded_at,"
            " last_uploaded_at FROM images",
        ) == [("0A1", "e", 4, 3, 9, first.uploaded_at, later.uploaded_at)]


def test_the_longest_label_that_the_sdk_allows_is_recorded(
    history: History, image: Make, run: Make
) -> None:
    label = "☃" * (MAX_LABEL_BYTES // 3)
    longest = CAT._replace(label=label + "x" * (MAX_LABEL_BYTES - len(label.encode())))
    assert len(history.record([image()], [run(image(), detections=(longest,))])) == 1


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model_version": "a\0b"}, "model_version .* NUL"),
        ({"model_version": "\ud800"}, "model_version .* lone surrogate"),
        ({"raw_response": '["\\u0000"]'}, "0000"),
        ({"raw_response": "NaN"}, "invalid input syntax for type json"),
        ({"detections": (CAT._replace(label="a\0b"),)}, "label .* NUL"),
        ({"detections": (CAT._replace(label=""),)}, "ck_detections_label"),
        ({"detections": (CAT._replace(label=TOO_LONG),)}, "ck_detections_label"),
        ({"detections": (CAT._replace(confidence=1.1),)}, "ck_detections_confidence"),
        ({"detections": (CAT._replace(confidence=float("nan")),)}, "ck_detections_confidence"),
        ({"detections": (CAT._replace(box=(0, 0, -1, 0)),)}, "ck_detections_box"),
        ({"detections": (CAT._replace(box=(float("nan"), 0, 0, 0)),)}, "ck_detections_box"),
        ({"detections": (CAT._replace(box=(0, 0, 0, float("inf"))),)}, "ck_detections_box"),
        ({"price_usd": Decimal("NaN")}, "price_usd must be finite"),
        ({"outcome": "maybe"}, "outcome must be"),
        ({"outcome": "failed"}, "error_code and error_message must be"),
        ({"retryable": True}, "a success is not retryable"),
    ],
)
def test_what_postgres_cannot_hold_is_refused_whole(
    history: History,
    engine: Engine,
    image: Make,
    run: Make,
    changes: dict[str, Any],
    complaint: str,
) -> None:
    bad = run(image(), **changes)
    with pytest.raises(HistoryDataError, match=complaint):
        history.record([image("good.jpg"), image()], [run(image("good.jpg")), bad])
    assert counts(engine) == (0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"key": "a\0b"}, "key .* NUL"),
        ({"key": "\ud800"}, "key .* lone surrogate"),
        ({"image_id": uuid4()}, "ck_images_image_id"),
        ({"width_px": 3}, "ck_images_both_sides"),
        ({"width_px": 2**31, "height_px": 1}, "out of range"),
        ({"size_bytes": 2**63}, "out of range"),
    ],
)
def test_images_that_postgres_cannot_hold_are_refused(
    history: History, image: Make, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(HistoryDataError, match=complaint):
        history.record([replace(image(), **changes)])


def test_a_time_needs_a_zone(history: History, image: Make) -> None:
    naive = image().uploaded_at.replace(tzinfo=None)
    with pytest.raises(HistoryDataError, match="has no time zone"):
        history.record([image(uploaded_at=naive)])


def test_a_run_needs_its_image(history: History, image: Make, run: Make) -> None:
    with pytest.raises(HistoryDataError, match="fk_runs_image_id"):
        history.record([], [run(image())])
    history.record([image()])
    assert history.record([], [run(image())])


def test_the_longest_names_that_s3_allows_fit(history: History, engine: Engine) -> None:
    key, version, bucket = os.urandom(512).hex(), os.urandom(512).hex(), "b" * 63
    with engine.connect() as connection:
        found = connection.scalar(
            text("SELECT image_id(:b, :k, :v)"), {"b": bucket, "k": key, "v": version}
        )
    noon = rows(engine, "SELECT now()")[0][0]
    history.record(
        [ImageRecord(found, bucket, key, version, True, noon, "0" * 20)],
        removed=[RemovedObject(bucket, key, version, "0" * 20, noon)],
    )
    assert rows(engine, "SELECT deleted_at FROM images") == [(noon,)]
