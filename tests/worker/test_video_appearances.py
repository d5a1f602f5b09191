"""Detections of frames become appearances, and none is lost."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retinue_sdk import BoundingBox, Detection
from retinue_sdk.appearance import PATH_POINTS
from retinue_workers.video.appearances import MAX_MISSED, Appearances

Frames = Sequence[tuple[int, Sequence[Detection]]]


def box(left: float, width: float = 0.2) -> BoundingBox:
    return BoundingBox(left, 0.5, width, 0.2)


def dog(left: float | None = None, confidence: float = 0.5, **attributes: Any) -> Detection:
    place = None if left is None else box(left)
    return Detection("object", "dog", confidence, place, attributes)


def joined(frames: Frames, *, track: bool = False) -> tuple[Detection, ...]:
    from retinue_workers.video.tracker import ObjectTracker  # imports SciPy: a second

    appearances = Appearances()
    tracker = ObjectTracker() if track else None
    for time_ms, found in frames:
        appearances.add(time_ms, found, tracker.follow(found) if tracker else None)
    return appearances.finish()


def spans(found: Sequence[Detection]) -> list[tuple[str, int | None, int | None]]:
    return [(one.label, one.start_ms, one.end_ms) for one in found]


def test_an_appearance_lasts_while_boxes_overlap() -> None:
    one, two = joined([(0, [dog(0.1)]), (500, [dog(0.2)]), (900, [dog(0.3), dog(0.8)])])
    assert spans([one, two]) == [("dog", 0, 900), ("dog", 900, 900)]
    assert (one.track, two.track) == (None, None)


def test_the_best_frame_gives_box_and_attributes() -> None:
    frames = [(0, [dog(0.1, 0.5)]), (500, [dog(0.12, 0.9, breed="pug")]), (900, [dog(0.1, 0.9)])]
    (found,) = joined(frames)
    assert (found.confidence, found.box) == (0.9, box(0.12))
    assert found.attributes == {
        "breed": "pug",
        "best_ms": 500,
        "frames": 3,
        "path": [[0, 0.1, 0.5, 0.2, 0.2], [500, 0.12, 0.5, 0.2, 0.2], [900, 0.1, 0.5, 0.2, 0.2]],
    }


@pytest.mark.parametrize(("missed", "number"), [(MAX_MISSED, 1), (MAX_MISSED + 1, 2)])
def test_few_missing_frames_do_not_end_an_appearance(missed: int, number: int) -> None:
    gap: Frames = [(100 * index, []) for index in range(1, missed + 1)]
    assert len(joined([(0, [dog(0.1)]), *gap, (1_000, [dog(0.1)])])) == number


def test_labels_of_whole_frames_are_joined_without_boxes() -> None:
    found = joined([(0, [dog(), dog()]), (500, [dog(), dog(0.1)])])
    assert spans(found) == [("dog", 0, 0), ("dog", 0, 500), ("dog", 500, 500)]
    assert found[0].attributes == {"best_ms": 0, "frames": 1}


def test_the_better_overlap_wins() -> None:
    frames = [(0, [dog(0.1, 0.6), dog(0.25, 0.7)]), (500, [dog(0.24, 0.7), dog(0.11, 0.6)])]
    assert {(one.confidence, one.end_ms) for one in joined(frames)} == {(0.6, 500), (0.7, 500)}


def test_a_track_follows_an_object_that_is_hidden_for_a_moment() -> None:
    runner = [(100 * index, [dog(0.05 + 0.04 * index)]) for index in range(5)]
    hidden: Frames = [(500, []), (600, [])]
    again = [(100 * index, [dog(0.05 + 0.04 * index)]) for index in range(7, 10)]
    found = joined([*runner, *hidden, *again], track=True)
    assert spans(found) == [("dog", 0, 400), ("dog", 700, 900)]
    assert [one.track for one in found] == [0, 0]


def test_two_objects_have_two_tracks() -> None:
    frames = [(100 * i, [dog(0.1 + 0.02 * i), dog(0.7 - 0.02 * i)]) for i in range(5)]
    assert [one.track for one in joined(frames, track=True)] == [0, 1]


edges = st.integers(0, 9).map(lambda tenth: tenth / 10)
boxes = st.none() | st.builds(BoundingBox, edges, edges, edges, edges)
detections = st.builds(
    Detection,
    st.just("object"),
    st.sampled_from(["dog", "cat"]),
    st.sampled_from([0.1, 0.5, 0.9]),
    boxes,
)
films = st.lists(
    st.tuples(st.integers(0, 20_000), st.lists(detections, max_size=6)), max_size=40
).map(lambda film: sorted(film, key=lambda frame: frame[0]))


@given(films, st.booleans())
def test_spans_are_closed_ordered_and_lose_nothing(film: Frames, track: bool) -> None:
    found = joined(film, track=track)
    assert found == joined(film, track=track)
    for one in found:
        assert one.start_ms is not None
        assert one.end_ms is not None
        assert one.start_ms <= one.attributes["best_ms"] <= one.end_ms
        if one.box is not None:
            moments = [point[0] for point in one.attributes["path"]]
            assert moments == sorted(moments)
            assert (moments[0], moments[-1]) == (one.start_ms, one.end_ms)
            assert len(moments) <= PATH_POINTS + 1
    assert [one.start_ms for one in found] == sorted(one.start_ms for one in found)
    number = Counter(one.label for _, frame in film for one in frame)
    joined_number: Counter[str] = Counter()
    for one in found:
        joined_number[one.label] += one.attributes["frames"]
    assert joined_number == number
    best = {label: max(one.confidence for one in found if one.label == label) for label in number}
    for _, frame in film:
        assert all(one.confidence <= best[one.label] for one in frame)


def test_paths_stay_short() -> None:
    (found,) = joined([(40 * index, [dog(0.1)]) for index in range(10_000)])
    assert len(found.attributes["path"]) <= PATH_POINTS + 1
    assert found.attributes["frames"] == 10_000
