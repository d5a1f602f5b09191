"""Whether an image still exists follows from what is known, not from the order of arrival."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retinue_history import History, ImageRecord, RemovedObject
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
        """Whether it says something about an image of this version."""
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
    max_examples=150,
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
