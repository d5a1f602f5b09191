"""The known events decide whether an image still exists, not the order of their arrival."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from fakes.examples import DATABASE_EXAMPLES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retinue_history import NULL_VERSION, History, ImageRecord, RemovedObject
from sqlalchemy import Engine, text

Make = Callable[..., Any]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


def deleted(engine: Engine, bucket: str = "photos") -> dict[str, datetime | None]:
    query = text("SELECT key || ' ' || version, deleted_at FROM images WHERE bucket = :bucket")
    with engine.connect() as connection:
        return {str(name): at for name, at in connection.execute(query, {"bucket": bucket})}


def test_removing_a_version_leaves_the_others(
    history: History, engine: Engine, image: Make
) -> None:
    history.record([image(version="v1"), image(version="v2", sequencer="11")])
    history.record([], removed=[RemovedObject("photos", "cat.jpg", "v1", "12", after(1))])
    assert deleted(engine) == {"cat.jpg v1": after(1), "cat.jpg v2": None}


def test_a_delete_marker_hides_what_came_before(
    history: History, engine: Engine, image: Make
) -> None:
    history.record(
        [
            image(version="v1", sequencer="0A"),
            image(version="v2", sequencer="0A2"),
            image(version="v3", sequencer="0A31"),
            image("dog.jpg"),
        ],
        removed=[RemovedObject("photos", "cat.jpg", None, "0A3", after(1))],
    )
    assert deleted(engine) == {
        "cat.jpg v1": after(1),
        "cat.jpg v2": after(1),
        "cat.jpg v3": None,
        "dog.jpg v1": None,
    }


def test_a_removal_that_arrives_first_is_remembered(
    history: History, engine: Engine, image: Make
) -> None:
    history.record([], removed=[RemovedObject("photos", "cat.jpg", None, "20", after(9))])
    history.record([image(sequencer="10")])
    assert deleted(engine) == {"cat.jpg v1": after(9)}
    history.record([image(sequencer="30", uploaded_at=after(10))])
    assert deleted(engine) == {"cat.jpg v1": None}


def test_without_a_sequencer_the_times_decide(
    history: History, engine: Engine, image: Make
) -> None:
    removed = [RemovedObject("photos", "cat.jpg", None, None, after(5))]
    history.record([image(sequencer="10", uploaded_at=after(4))], removed=removed)
    history.record([image("dog.jpg", sequencer=None, uploaded_at=after(4))])
    assert deleted(engine) == {"cat.jpg v1": after(5), "dog.jpg v1": None}
    history.record([image(sequencer="11", uploaded_at=after(6))])
    assert deleted(engine) == {"cat.jpg v1": None, "dog.jpg v1": None}


def test_a_missing_image_is_deleted_until_it_is_created_again(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    seen = image(sequencer="10")
    gone = replace(seen, missing_since=after(3))
    history.record([gone], [run(seen, error_code="no_such_key", retryable=False)])
    history.record([seen])  # another pool's worker, which was faster
    assert deleted(engine) == {"cat.jpg v1": after(3)}
    history.record([image(sequencer="11", uploaded_at=after(4))])
    assert deleted(engine) == {"cat.jpg v1": None}
    history.record([gone])  # late news about the first event
    assert deleted(engine) == {"cat.jpg v1": None}


def test_in_an_unversioned_bucket_the_newest_upload_takes_the_place(
    history: History, engine: Engine, image: Make
) -> None:
    first = image(version="e1", versioned=False, sequencer="10", uploaded_at=after(1))
    second = image(version="e2", versioned=False, sequencer="20", uploaded_at=after(2))
    history.record([second])
    history.record([first])  # late news
    assert deleted(engine) == {"cat.jpg e1": after(2), "cat.jpg e2": None}
    back = image(version="e1", versioned=False, sequencer="30", uploaded_at=after(3))
    history.record([back])
    assert deleted(engine) == {"cat.jpg e1": None, "cat.jpg e2": after(3)}


def test_two_uploads_to_one_key_at_the_same_time_see_each_other(
    history: History, engine: Engine, image: Make
) -> None:
    keys = [f"{n}.jpg" for n in range(50)]
    barrier = Barrier(2)

    def create(version: str, sequencer: str, minute: int) -> None:
        for key in keys:
            barrier.wait()
            history.record(
                [
                    image(
                        key,
                        version=version,
                        versioned=False,
                        sequencer=sequencer,
                        uploaded_at=after(minute),
                    )
                ]
            )

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(create, "e1", "10", 1), pool.submit(create, "e2", "20", 2)]:
            done.result()
    assert deleted(engine) == {f"{key} e1": after(2) for key in keys} | {
        f"{key} e2": None for key in keys
    }


def test_a_removal_and_a_creation_at_the_same_time_see_each_other(
    history: History, engine: Engine, image: Make
) -> None:
    keys = [f"{n}.jpg" for n in range(50)]
    barrier = Barrier(2)

    def create() -> None:
        for key in keys:
            barrier.wait()
            history.record([image(key, sequencer="10")])

    def remove() -> None:
        for key in keys:
            barrier.wait()
            history.record([], removed=[RemovedObject("photos", key, None, "20", after(1))])

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(create), pool.submit(remove)]:
            done.result()
    assert deleted(engine) == {f"{key} v1": after(1) for key in keys}


# Versions, null versions and delete markers


def marker(minute: int, version_id: str, sequencer: str, key: str = "cat.jpg") -> RemovedObject:
    return RemovedObject("photos", key, None, sequencer, after(minute), version_id)


def gone(minute: int, version: str, sequencer: str | None) -> RemovedObject:
    return RemovedObject("photos", "cat.jpg", version, sequencer, after(minute))


def in_any_order(
    history: History,
    engine: Engine,
    events: Sequence[ImageRecord | RemovedObject],
    expected: dict[str, datetime | None],
) -> None:
    """Record events in every order, each order with one of them twice."""
    for number, order in enumerate(permutations(events)):
        with engine.begin() as connection:
            connection.execute(text("TRUNCATE images, removals CASCADE"))
        for event in (*order, order[number % len(order)]):
            if isinstance(event, RemovedObject):
                history.record([], removed=[event])
            else:
                history.record([event])
        assert deleted(engine) == expected, order


def test_a_delete_marker_that_is_removed_hides_nothing(
    history: History, engine: Engine, image: Make
) -> None:
    events = [image(sequencer="10"), marker(1, "m1", "20"), gone(2, "m1", "30")]
    in_any_order(history, engine, events, {"cat.jpg v1": None})


def test_of_two_delete_markers_each_is_removed_by_itself(
    history: History, engine: Engine, image: Make
) -> None:
    events = [
        image(sequencer="10"),
        marker(1, "m1", "20"),
        marker(2, "m2", "30"),
        gone(3, "m1", "40"),
    ]
    in_any_order(history, engine, events, {"cat.jpg v1": after(2)})


def test_removing_the_null_version_leaves_what_was_stored_with_versioning(
    history: History, engine: Engine, image: Make
) -> None:
    before = image(version="e1", versioned=False, sequencer="10")
    events = [before, image(sequencer="20"), gone(2, NULL_VERSION, "30")]
    in_any_order(history, engine, events, {"cat.jpg e1": after(2), "cat.jpg v1": None})


@pytest.mark.parametrize("cause", ["removed", "overwritten"])
def test_a_null_marker_hides_versions_until_it_goes(
    history: History, engine: Engine, image: Make, cause: str
) -> None:
    before = image(version="e1", versioned=False, sequencer="05")
    put = image(version="e2", versioned=False, sequencer="30", uploaded_at=after(2))
    events = [
        before,
        image(sequencer="10"),
        marker(1, NULL_VERSION, "20"),
        put if cause == "overwritten" else gone(2, NULL_VERSION, "30"),
    ]
    # It took the place of the null version, which does not come back.
    expected: dict[str, datetime | None] = {"cat.jpg e1": after(1), "cat.jpg v1": None}
    if cause == "overwritten":
        expected["cat.jpg e2"] = None
    in_any_order(history, engine, events, expected)


@pytest.mark.parametrize("sequencer", ["0055AED6DCD90281E5", None])
def test_where_sequencers_tie_the_times_decide(
    history: History, engine: Engine, image: Make, sequencer: str | None
) -> None:
    def put(version: str, minute: int) -> ImageRecord:
        record: ImageRecord = image(
            version=version, versioned=False, sequencer=sequencer, uploaded_at=after(minute)
        )
        return record

    removed = gone(2, NULL_VERSION, sequencer)
    in_any_order(history, engine, [put("e1", 1), removed], {"cat.jpg e1": after(2)})
    in_any_order(history, engine, [put("e1", 1), removed, put("e1", 3)], {"cat.jpg e1": None})
    replaced = {"cat.jpg e1": after(3), "cat.jpg e2": None}
    in_any_order(history, engine, [put("e1", 1), put("e2", 3)], replaced)


def test_what_a_listing_shows_exists(history: History, engine: Engine, image: Make) -> None:
    """The removal of the marker, and the second upload, were never told."""
    listed = image(sequencer=None, served_at=after(5))
    older = image(version="v0", sequencer="05")
    events = [older, image(sequencer="10"), marker(1, "m1", "20"), listed]
    in_any_order(history, engine, events, {"cat.jpg v0": None, "cat.jpg v1": None})
    later = marker(6, "m2", "40")
    hidden = {"cat.jpg v0": after(6), "cat.jpg v1": after(6)}
    in_any_order(history, engine, [*events, later], hidden)


def test_a_listing_shows_which_upload_has_the_place(
    history: History, engine: Engine, image: Make
) -> None:
    def put(version: str, minute: int, sequencer: str | None, **fields: Any) -> ImageRecord:
        record: ImageRecord = image(
            version=version,
            versioned=False,
            sequencer=sequencer,
            uploaded_at=after(minute),
            **fields,
        )
        return record

    listed = put("e1", 3, None, served_at=after(5))
    events = [put("e1", 1, "10"), put("e2", 2, "20"), listed]
    in_any_order(history, engine, events, {"cat.jpg e1": None, "cat.jpg e2": after(3)})
    again = {"cat.jpg e1": after(6), "cat.jpg e2": None}
    in_any_order(history, engine, [*events, put("e2", 6, "40")], again)


def test_a_removal_after_the_listing_counts(history: History, engine: Engine, image: Make) -> None:
    events = [image(sequencer=None, served_at=after(5)), gone(6, "v1", "30")]
    in_any_order(history, engine, events, {"cat.jpg v1": after(6)})


def test_a_null_version_that_was_missing_below_a_marker_comes_back_with_it(
    history: History, engine: Engine, image: Make
) -> None:
    put = image(version="e1", versioned=False, sequencer="10")
    missing = replace(put, missing_since=after(2))
    events = [missing, marker(1, "m1", "20"), gone(3, "m1", "30")]
    in_any_order(history, engine, events, {"cat.jpg e1": None})
    in_any_order(history, engine, [missing, put], {"cat.jpg e1": after(2)})


@dataclass(frozen=True)
class Event:
    """One thing that happened to a key, in S3's order."""

    created: bool
    version: str
    sequenced: bool
    missing: bool

    @property
    def versioned(self) -> bool:
        return self.version.startswith("v")

    def decides(self, version: str) -> bool:
        """Return whether it says something about an image of this version."""
        if self.version == version:
            return True
        if not self.created:  # without a version it removes all that was there
            return not self.versioned
        return not self.versioned and version.startswith("e")  # takes the other's place


events = st.lists(
    st.builds(
        Event,
        created=st.booleans(),
        version=st.sampled_from(["v1", "v2", "e1", "e2"]),
        sequenced=st.booleans(),
        missing=st.booleans(),
    ),
    max_size=6,
)


@settings(
    deadline=None,
    max_examples=DATABASE_EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(happened=events, data=st.data())
def test_the_order_of_arrival_does_not_matter(
    history: History, engine: Engine, image: Make, happened: list[Event], data: st.DataObject
) -> None:
    def deliver(bucket: str, order: list[int], cuts: set[int]) -> dict[str, datetime | None]:
        images: list[ImageRecord] = []
        removed: list[RemovedObject] = []
        for place, number in enumerate(order):
            event = happened[number]
            sequencer = f"0{number + 1:X}" if event.sequenced else None
            if event.created:
                images.append(
                    image(
                        version=event.version,
                        versioned=event.versioned,
                        bucket=bucket,
                        sequencer=sequencer,
                        uploaded_at=after(10 * number),
                        missing_since=after(10 * number + 5) if event.missing else None,
                    )
                )
            else:
                when = after(10 * number)
                version = event.version if event.versioned else None
                removed.append(RemovedObject(bucket, "cat.jpg", version, sequencer, when))
            if place in cuts:
                history.record(images, (), removed)
                images, removed = [], []
        history.record(images, (), removed)
        history.record(images, (), removed)
        return deleted(engine, bucket)

    everything = list(range(len(happened)))
    in_order = deliver(str(uuid4()), everything, set(everything))
    shuffled = data.draw(st.permutations(everything))
    cuts = data.draw(st.sets(st.sampled_from(everything))) if everything else set()
    assert deliver(str(uuid4()), shuffled, cuts) == in_order
    if all(event.sequenced and not event.missing for event in happened):
        for version in {event.version for event in happened if event.created}:
            last = [event for event in happened if event.decides(version)][-1]
            alive = in_order[f"cat.jpg {version}"] is None
            assert alive == (last.created and last.version == version)
