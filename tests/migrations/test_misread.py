"""A result read by an object's key alone is kept only if it was that image's."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest
from fakes.examples import DATABASE_EXAMPLES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retinue_history import DetectionRecord, History, ImageRecord, RunRecord
from retinue_sdk.json_value import encode_json
from sqlalchemy import Engine, text

Make = Callable[..., Any]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def put(image: Make) -> Callable[..., ImageRecord]:
    """Makes the event of an upload to a key of an unversioned bucket."""

    def make(version: str, second: float, **fields: Any) -> ImageRecord:
        given = {"versioned": False, "sequencer": f"0{round(second * 10):06X}", **fields}
        record: ImageRecord = image(version=version, uploaded_at=after(second), **given)
        return record

    return make


@pytest.fixture
def call(run: Make) -> Callable[..., RunRecord]:
    """Makes the run of a call by key that found one label."""

    def make(seen: ImageRecord, begin: float, end: float, **fields: Any) -> RunRecord:
        found = (DetectionRecord("label", fields.pop("label", "Cat"), 0.5),)
        record: RunRecord = run(
            seen,
            fields.pop("event_id", f"{seen.sequencer}"),
            started_at=after(begin),
            duration_ms=1_000 * (end - begin),
            detections=found,
            raw_response=encode_json({"Labels": []}),
            **{"read_by_key": True, **fields},
        )
        return record

    return make


def outcomes(engine: Engine) -> list[tuple[str, str | None, int]]:
    """For each run the image's version, the error code and how many detections there are."""
    query = """
        SELECT version, error_code, detection_count FROM runs JOIN images USING (image_id)
        ORDER BY run_id
    """
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def value(engine: Engine, query: str) -> Any:
    with engine.connect() as connection:
        return connection.scalar(text(query))


def test_the_labels_of_another_upload_do_not_stay(
    history: History, engine: Engine, put: Make, call: Make
) -> None:
    """A, B, A: the call for A read B, whichever event is recorded first."""
    a, b, again = put("A", 1), put("B", 2), put("A", 3)
    read_b = call(a, 2.4, 2.6)
    for order in permutations([(a, read_b), (b, None), (again, None)]):
        with engine.begin() as connection:
            connection.execute(text("TRUNCATE images, removals CASCADE"))
        for seen, run in order:
            history.record([seen], [run] if run else [])
        assert outcomes(engine) == [("A", "object_replaced", 0)]
        assert value(engine, "SELECT count(*) FROM detections") == 0
        assert value(engine, "SELECT count(*) FROM label_counts_daily") == 0
        assert value(engine, "SELECT raw_response IS NULL AND retryable FROM runs")
        # It is tried again for the newer event.
        assert history.done_and_erased([(read_b.key, "another event")], []) == (set(), set())
        assert history.record([again], [call(again, 3.1, 3.2, event_id="another event")])
        assert outcomes(engine)[-1] == ("A", None, 1)
        assert value(engine, "SELECT sum(detections) FROM label_counts_daily") == 1


def test_an_upload_that_comes_and_goes_keeps_what_was_read_of_it(
    history: History, engine: Engine, put: Make, call: Make
) -> None:
    """Each was read while it was there: A, B, A, B, A, in any order."""
    runs = [
        (put("A", 1), call(put("A", 1), 1.2, 1.4)),
        (put("B", 2), call(put("B", 2), 2.2, 2.4)),
        (put("A", 3), None),
        (put("B", 4), None),
        (put("A", 5), None),
    ]
    for order in permutations(runs):
        with engine.begin() as connection:
            connection.execute(text("TRUNCATE images, removals CASCADE"))
        for seen, run in order:
            history.record([seen], [run] if run else [])
        assert sorted(outcomes(engine)) == [("A", None, 1), ("B", None, 1)]
    third = put("A", 3)
    late = [call(third, 3.2, 3.4, detector="d", event_id="3"), call(third, 4.2, 4.4, detector="e")]
    history.record([third], late)
    assert outcomes(engine)[-2:] == [("A", None, 1), ("A", "object_replaced", 0)]


def test_a_success_that_is_refused_is_not_announced(
    history: History, engine: Engine, put: Make, call: Make
) -> None:
    a, b = put("A", 1), put("B", 2)
    history.record([b])
    assert history.record([a, b], [call(a, 2.4, 2.6), call(b, 2.4, 2.6)]).keys() == {
        (call(b, 0, 1).key, str(b.sequencer))
    }
    assert sorted(outcomes(engine)) == [("A", "object_replaced", 0), ("B", None, 1)]


@pytest.mark.parametrize(
    ("begin", "end", "code"),
    [
        (1.2, 1.8, None),  # before the other came
        (1.2, 2.2, "object_replaced"),  # while it came
        (2.2, 2.8, "object_replaced"),
        (2.8, 3.2, "object_replaced"),  # while the image came back
        (3.2, 3.8, None),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_a_call_counts_if_the_image_was_there_all_the_time(
    history: History, engine: Engine, put: Make, call: Make,
    begin: float, end: float, code: str | None, late: bool,
) -> None:  # fmt: skip
    a, b, again = put("A", 1), put("B", 2), put("A", 3)
    run = call(a, begin, end)
    if late:
        history.record([a], [run])
        history.record([again])
        history.record([b])
    else:
        history.record([a, b, again])
        history.record([a], [run])
    assert outcomes(engine) == [("A", code, 0 if code else 1)]


def test_what_was_read_as_this_version_stays(
    history: History, engine: Engine, put: Make, call: Make, image: Make
) -> None:
    a, b = put("A", 1), put("B", 2)
    history.record([a], [call(a, 2.4, 2.6, read_by_key=False)])
    history.record([b])
    v1, v2 = image("v.jpg", "v1"), image("v.jpg", "v2", sequencer="20", uploaded_at=after(2))
    history.record([v1, v2], [call(v1, 2.4, 2.6, read_by_key=False)])
    assert sorted(outcomes(engine)) == [("A", None, 1), ("v1", None, 1)]


def test_an_older_upload_and_other_keys_are_no_doubt(
    history: History, engine: Engine, put: Make, call: Make, image: Make
) -> None:
    """Nor is a worker's clock that is behind S3's."""
    a, b = put("A", 1), put("B", 2)
    other = image("dog.jpg", "C", versioned=False, uploaded_at=after(2.5))
    history.record([a, b, other], [call(b, 1.9, 2.6)])
    assert outcomes(engine) == [("B", None, 1)]


def test_an_upload_that_was_stored_with_versioning_may_have_been_read(
    history: History, engine: Engine, put: Make, call: Make, image: Make
) -> None:
    null, v1 = put("A", 1), image(version="v1", sequencer="0000FF", uploaded_at=after(2))
    history.record([null, v1])
    history.record([null], [call(null, 2.4, 2.6)])
    assert outcomes(engine) == [("A", "object_replaced", 0)]


@settings(
    deadline=None,
    max_examples=DATABASE_EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    uploads=st.lists(st.sampled_from("ABC"), min_size=1, max_size=6),
    reads=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 55)), max_size=6),
    sequenced=st.booleans(),
    data=st.data(),
)
def test_no_label_of_another_upload_is_left(
    history: History,
    engine: Engine,
    put: Make,
    call: Make,
    uploads: list[str],
    reads: list[tuple[int, int]],
    sequenced: bool,
    data: st.DataObject,
) -> None:
    bucket = str(uuid4())
    ids: dict[str, UUID] = {}

    def event(number: int) -> ImageRecord:
        seen: ImageRecord = put(uploads[number], 10 * number, bucket=bucket)
        ids[uploads[number]] = seen.image_id
        return seen if sequenced else replace(seen, sequencer=None)

    def is_right(run: RunRecord) -> bool:
        return ids[run.detections[0].label] == run.key.image_id

    # Each call reads what is there in its middle.
    commits: list[tuple[ImageRecord, RunRecord | None]] = [
        (event(number), None) for number in range(len(uploads))
    ]
    for place, (number, second) in enumerate(reads):
        if number < len(uploads) and second > 10 * number:
            there = uploads[min(second // 10, len(uploads) - 1)]
            seen = event(number)
            run = call(seen, second + 0.4, second + 0.6, event_id=str(place), label=there)
            commits.append((seen, run))
    order = data.draw(st.permutations(commits))
    all_known = data.draw(st.booleans())
    if all_known:
        order.sort(key=lambda commit: commit[1] is not None)
    for seen, run in order:
        history.record([seen], [run] if run else [])
    query = "SELECT image_id, version, label FROM detection_history WHERE bucket = :bucket"
    with engine.connect() as connection:
        rows = connection.execute(text(query), {"bucket": bucket}).all()
    assert all(version == label for _, version, label in rows)
    if all_known:
        right = {run.key.image_id for _, run in commits if run is not None and is_right(run)}
        assert right == {image_id for image_id, _, _ in rows}
    # In order, the last upload is not refused what was read of it.
    last = event(len(uploads) - 1)
    end = 10 * len(uploads)
    history.record([last], [call(last, end + 60, end + 61, event_id="last", label=uploads[-1])])
    with engine.connect() as connection:
        found = connection.scalar(
            text("SELECT count(*) FROM latest_detections WHERE image_id = :id"),
            {"id": ids[uploads[-1]]},
        )
    assert found == 1
