"""Results of jobs as appearances: spans, joined samples, and whatever the model allows."""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from fakes.examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rekognition.answers import any_value, storable
from retinue_rekognition.convert import cleaned, items
from retinue_rekognition.plugin import VIDEO_DETECTORS
from retinue_rekognition.video import appearances
from retinue_rekognition.video.celebrities import VideoCelebrityDetector
from retinue_rekognition.video.detector import VideoDetector
from retinue_rekognition.video.face_search import VideoFaceSearchDetector
from retinue_rekognition.video.faces import VideoFaceDetector
from retinue_rekognition.video.labels import VideoLabelDetector
from retinue_rekognition.video.moderation import VideoModerationDetector
from retinue_rekognition.video.segments import VideoSegmentDetector
from retinue_rekognition.video.text import VideoTextDetector
from retinue_rekognition_emulator.model import operation_model
from retinue_rekognition_emulator.server import marked
from retinue_sdk import Detection, Findings, InvalidImageError

Kind = type[VideoDetector[Any]]


def detector(kind: Kind) -> VideoDetector[Any]:
    options = {"collection_id": "people"} if kind is VideoFaceSearchDetector else {}
    return kind(kind.options_model.model_validate(options))


def found(kind: Kind, *pages: Iterable[dict[str, Any]]) -> list[Detection]:
    """Return the appearances in the items of some pages."""
    collector = detector(kind).collector()
    for page in pages:
        collector.add(page)
    return collector.detections()


def box(left: float, top: float = 0.1) -> dict[str, float]:
    return {"Left": left, "Top": top, "Width": 0.2, "Height": 0.2}


def face(at_ms: Any, left: float = 0.1, confidence: float = 99.0) -> dict[str, Any]:
    detail = {"BoundingBox": box(left), "Confidence": confidence, "Pose": {"Yaw": left}}
    return {"Timestamp": at_ms, "Face": detail}


def spans(detections: Iterable[Detection]) -> list[tuple[str, int | None, int | None]]:
    return [(one.label, one.start_ms, one.end_ms) for one in detections]


def test_a_label_is_a_span() -> None:
    label = {
        "Name": "Dog",
        "Confidence": 97.5,
        "Instances": [],
        "Parents": [{"Name": "Animal"}],
        "Aliases": [],
    }
    item = {
        "Timestamp": 1_000,
        "Label": label,
        "StartTimestampMillis": 1_000,
        "EndTimestampMillis": 4_500,
        "DurationMillis": 3_500,
        "SomethingNew": True,
    }
    [dog] = found(VideoLabelDetector, [item])
    assert (dog.kind, dog.label, dog.confidence, dog.box) == ("label", "Dog", 0.975, None)
    assert (dog.start_ms, dog.end_ms, dog.track) == (1_000, 4_500, None)
    assert dog.attributes == {"Parents": [{"Name": "Animal"}], "Aliases": [], "SomethingNew": True}


def test_moderation_keeps_its_content_types() -> None:
    types = [{"Name": "Animated Content", "Confidence": 90.0}]
    item = {
        "ModerationLabel": {"Name": "Alcohol", "ParentName": "", "Confidence": 60.0},
        "ContentTypes": types,
        "StartTimestampMillis": 0,
        "EndTimestampMillis": 0,
        "DurationMillis": 0,
    }
    [alcohol] = found(VideoModerationDetector, [item])
    assert (alcohol.kind, alcohol.start_ms, alcohol.end_ms) == ("moderation", 0, 0)
    assert alcohol.attributes == {"ParentName": "", "ContentTypes": types}


@pytest.mark.parametrize(
    ("times", "span", "kept"),
    [
        ({"StartTimestampMillis": 5, "EndTimestampMillis": 9}, (5, 9), set()),
        ({"Timestamp": 5, "DurationMillis": 0}, (5, 5), set()),
        ({"StartTimestampMillis": 5.0, "EndTimestampMillis": 5.5}, (5, 5), {"EndTimestampMillis"}),
        ({"StartTimestampMillis": 9, "EndTimestampMillis": 5}, (9, 9), {"EndTimestampMillis"}),
        ({"StartTimestampMillis": -1, "Timestamp": 0}, (0, 0), {"StartTimestampMillis"}),
        ({"EndTimestampMillis": 7}, (7, 7), set()),
        ({"StartTimestampMillis": 2**31}, (None, None), {"StartTimestampMillis"}),
        ({"Timestamp": 5, "DurationMillis": 3}, (5, 5), {"DurationMillis"}),
        ({"Timestamp": True}, (None, None), {"Timestamp"}),
        ({}, (None, None), set()),
    ],
)
def test_a_time_that_cannot_be_stored_stays_as_it_was(
    times: dict[str, Any], span: tuple[int | None, int | None], kept: set[str]
) -> None:
    [dog] = found(VideoLabelDetector, [{"Label": {"Name": "Dog"}, **times}])
    assert (dog.start_ms, dog.end_ms) == span
    assert {name: dog.attributes[name] for name in kept} == {name: times[name] for name in kept}
    assert dog.attributes.keys() == kept


def test_segments_are_shots_and_cues() -> None:
    times = {
        "StartTimestampMillis": 0,
        "EndTimestampMillis": 1_960,
        "DurationMillis": 1_960,
        "StartTimecodeSMPTE": "00:00:00:00",
        "StartFrameNumber": 0,
    }
    cue, shot, other = found(
        VideoSegmentDetector,
        [
            {
                "Type": "TECHNICAL_CUE",
                **times,
                "TechnicalCueSegment": {"Type": "BlackFrames", "Confidence": 90.0},
            },
            {"Type": "SHOT", **times, "ShotSegment": {"Index": 0, "Confidence": 80.0}},
            {"Type": "SCENE", **times},
        ],
    )
    assert (cue.kind, cue.label, cue.confidence) == ("technical_cue", "BlackFrames", 0.9)
    assert (shot.kind, shot.label, shot.confidence) == ("shot", "Shot", 0.8)
    assert (other.kind, other.label) == ("segment", "SCENE")
    frames = {"StartTimecodeSMPTE": "00:00:00:00", "StartFrameNumber": 0}
    assert (cue.attributes, shot.attributes) == (frames, frames | {"Index": 0})
    assert {(one.start_ms, one.end_ms) for one in (cue, shot, other)} == {(0, 1_960)}


def test_the_version_of_segments_is_that_of_each_model() -> None:
    types = [{"Type": "TECHNICAL_CUE", "ModelVersion": "2.0"}, {"Type": "SHOT"}, {"Type": "X"}]
    types[1]["ModelVersion"] = "1.5"
    one = detector(VideoSegmentDetector)
    assert one.result_model_version({"SelectedSegmentTypes": types}) == (
        "SHOT 1.5, TECHNICAL_CUE 2.0"
    )
    assert one.result_model_version({}) is None
    invented = marked({"SelectedSegmentTypes": types})
    assert one.result_model_version(invented) == "emulator"


def test_samples_of_a_face_are_one_appearance() -> None:
    # 500 ms apart; the last is too late; AWS's own times waver by a millisecond.
    times = (0, 499, 1_000, 2_000, 3_003)
    first, second = found(
        VideoFaceDetector,
        [face(at, 0.1 + at / 50_000, 99 - abs(at - 1_000) / 100) for at in times],
        [],
    )
    assert (first.start_ms, first.end_ms, first.track) == (0, 2_000, None)
    assert (first.confidence, first.box and round(first.box.left, 4)) == (0.99, 0.12)
    assert first.attributes == {
        "Pose": {"Yaw": pytest.approx(0.12)},
        "best_ms": 1_000,
        "frames": 4,
        "path": [
            [0, 0.1, 0.1, 0.2, 0.2],
            [499, 0.11, 0.1, 0.2, 0.2],
            [1_000, 0.12, 0.1, 0.2, 0.2],
            [2_000, 0.14, 0.1, 0.2, 0.2],
        ],
    }
    assert (second.start_ms, second.end_ms) == (3_003, 3_003)
    assert second.attributes["path"] == [[3_003, pytest.approx(0.1601, abs=1e-4), 0.1, 0.2, 0.2]]


def test_two_faces_stay_two() -> None:
    samples = [face(at, left) for at in (0, 500, 1_000) for left in (0.1 + at / 20_000, 0.6)]
    assert [(one.start_ms, one.end_ms) for one in found(VideoFaceDetector, samples)] == [
        (0, 1_000),
        (0, 1_000),
    ]
    # They pass each other: each continues with the nearest.
    crossing = [face(0, 0.10), face(0, 0.20), face(500, 0.14), face(500, 0.16)]
    paths = [one.attributes["path"] for one in found(VideoFaceDetector, crossing)]
    assert [[point[1] for point in path] for path in paths] == [[0.1, 0.14], [0.2, 0.16]]


def test_a_cut_to_another_place_ends_an_appearance() -> None:
    jumped = [face(0, 0.1), face(500, 0.1), face(1_000, 0.7)]
    assert [one.start_ms for one in found(VideoFaceDetector, jumped)] == [0, 1_000]


def test_samples_without_a_box_join_those_without() -> None:
    bare = [{"Timestamp": at, "Face": {"Confidence": 90.0}} for at in (0, 500)]
    assert spans(found(VideoFaceDetector, [*bare, face(1_000)])) == [
        ("Face", 0, 500),
        ("Face", 1_000, 1_000),
    ]


def test_text_is_joined_if_it_reads_the_same() -> None:
    def text(at_ms: int, words: str, kind: str = "LINE") -> dict[str, Any]:
        geometry = {"BoundingBox": box(0.1), "Polygon": [{"X": 0.1, "Y": 0.1}]}
        told = {"DetectedText": words, "Type": kind, "Geometry": geometry, "Confidence": 90.0}
        return {"Timestamp": at_ms, "TextDetection": told}

    told = [text(0, "NEWS"), text(0, "NEWS", "WORD"), text(500, "NEWS"), text(1_000, "SPORT")]
    word, line, other = found(VideoTextDetector, told)
    assert spans([word, line, other]) == [("NEWS", 0, 0), ("NEWS", 0, 500), ("SPORT", 1_000, 1_000)]
    assert (line.attributes["Type"], word.attributes["Type"]) == ("LINE", "WORD")
    assert line.attributes["Geometry"] == {"Polygon": [{"X": 0.1, "Y": 0.1}]}


def test_a_celebrity_is_known_again_after_a_cut() -> None:
    def person(at_ms: int, name: str, left: float, confidence: float = 90.0) -> dict[str, Any]:
        face = {"BoundingBox": box(left), "Confidence": 99.0}
        who = {"Name": name, "Id": name[:1], "Urls": [], "BoundingBox": box(0.4), "Face": face}
        return {"Timestamp": at_ms, "Celebrity": {**who, "Confidence": confidence}}

    ada, bob, later = found(
        VideoCelebrityDetector,
        [
            person(0, "Ada", 0.1),
            person(500, "Ada", 0.7, 95.0),
            person(500, "Bob", 0.1),
            person(9_000, "Ada", 0.1),
        ],
    )
    assert spans([ada, bob, later]) == [("Ada", 0, 500), ("Bob", 500, 500), ("Ada", 9_000, 9_000)]
    assert [one.track for one in (ada, bob, later)] == [0, 1, 0]
    assert (ada.kind, ada.confidence, ada.box and ada.box.left) == ("celebrity", 0.95, 0.7)
    assert ada.attributes["Id"] == "A"
    [body] = found(VideoCelebrityDetector, [{"Celebrity": {"Name": "X", "BoundingBox": box(0.3)}}])
    assert body.box is not None


def test_a_person_is_a_track_with_a_face_and_its_matches() -> None:
    def person(at_ms: int, index: int, left: float, *names: str) -> dict[str, Any]:
        matches = [
            {"Similarity": 90.0 + at_ms / 1_000, "Face": {"FaceId": n, "ExternalImageId": n}}
            for n in names
        ]
        told = {"Index": index, "Face": face(0, left)["Face"], "BoundingBox": box(0.5)}
        return {"Timestamp": at_ms, "Person": told, "FaceMatches": matches}

    temporary = "retinue-temporary:1700000000:image"
    here, ann, bob, other = found(
        VideoFaceSearchDetector,
        [
            person(0, 7, 0.1, "ann", temporary),
            person(500, 7, 0.7, "ann", "bob"),
            {"Timestamp": 500, "Person": {"Index": 8, "BoundingBox": box(0.2)}},
        ],
    )
    assert spans([here, ann, bob, other]) == [
        ("Face", 0, 500),
        ("ann", 0, 500),
        ("bob", 500, 500),
        ("Person", 500, 500),
    ]
    assert [one.track for one in (here, ann, bob, other)] == [7, 7, 7, 8]
    assert [one.kind for one in (here, ann, bob, other)] == [
        "face",
        "face_match",
        "face_match",
        "person",
    ]
    assert (ann.confidence, ann.box and ann.box.left) == (0.905, 0.7)
    assert ann.attributes["Face"] == {"FaceId": "ann", "ExternalImageId": "ann"}
    assert here.attributes["Person"] == {"BoundingBox": box(0.5)}


def test_a_sample_without_a_time_is_kept() -> None:
    lost, timed = found(VideoFaceDetector, [face(0), face(None), face(math.nan)][:2])
    assert (lost.start_ms, lost.attributes["Timestamp"]) == (None, None)
    assert timed.start_ms == 0


def test_a_long_path_is_thinned_to_even_steps() -> None:
    [one] = found(VideoFaceDetector, [face(at, 0.1) for at in range(0, 200_001, 100)])
    path = one.attributes["path"]
    times = [point[0] for point in path]
    assert one.attributes["frames"] == 2_001
    assert 8 < len(path) <= 17
    assert (times[0], times[-1]) == (0, 200_000)
    assert len({after - before for before, after in pairwise(times[:-1])}) == 1


def test_too_many_appearances_fail_the_video(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appearances, "MAX_APPEARANCES", 3)
    with pytest.raises(InvalidImageError, match="more than 3 appearances") as failed:
        found(VideoFaceDetector, [face(at * 10_000) for at in range(5)])
    assert failed.value.code == "invalid_result"


def test_a_crowd_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appearances, "MAX_OPEN", 10)
    crowd = [face(at, number / 2, 50.0 + at / 100) for at in (0, 500) for number in range(30)]
    detections = found(VideoFaceDetector, crowd)
    assert sum(one.attributes["frames"] for one in detections) == 60


@settings(max_examples=examples(0.4), deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=60),
    st.lists(st.integers(1, 60), max_size=6),
)
def test_pages_do_not_matter(samples: list[tuple[int, int]], cuts: list[int]) -> None:
    listed = [face(at * 250, left / 4, 90.0 + left) for at, left in sorted(samples)]
    edges = [0, *sorted({min(cut, len(listed)) for cut in cuts}), len(listed)]
    pages = [listed[start:end] for start, end in pairwise(edges)]
    whole = found(VideoFaceDetector, listed)
    assert found(VideoFaceDetector, *pages) == whole
    assert sum(one.attributes["frames"] for one in whole) == len(listed)


@settings(max_examples=examples(0.4), deadline=None)
@given(st.lists(st.integers(0, 20), max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_a_page_does_not_matter(times: list[int], random: Any) -> None:
    listed = [face(at * 100) for at in set(times)]
    ordered = sorted(listed, key=lambda item: item["Timestamp"])
    random.shuffle(listed)
    assert spans(found(VideoFaceDetector, listed)) == spans(found(VideoFaceDetector, ordered))


@pytest.mark.parametrize("kind", VIDEO_DETECTORS, ids=lambda kind: kind.name)
def test_whatever_the_model_allows_becomes_appearances(kind: Kind) -> None:
    model = operation_model(kind.result_operation)
    shape = model.output_shape.members[kind.listed]

    @settings(max_examples=examples(0.4), deadline=None, suppress_health_check=list(HealthCheck))
    @given(any_value(shape), any_value(shape))
    def converts(one: Any, other: Any) -> None:
        cleaned_pages = [items(cleaned({"Items": page}).get("Items")) for page in (one, other)]
        detections = found(kind, *cleaned_pages)
        storable(Findings(detections=tuple(detections)))
        assert len(detections) >= bool(sum(map(len, cleaned_pages)))

    converts()
