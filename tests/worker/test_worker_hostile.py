"""Hostile detectors: each alone and beside a good one; the worker goes on."""

from io import BytesIO
from typing import Any

import pytest
from fakes.rig import MakeRig, Rig, hurried, keys
from fakes.waiting import eventually
from PIL import Image as Pillow
from retinue_hostile.plugin import FAILING
from retinue_sdk import AnyDetector
from retinue_workers.detectors.hang_detector import HUNG_CALLS

# What each hostile detector must come to, for each of three images.
HOSTILE: list[tuple[str, dict[str, Any], str]] = [
    ("hostile-exits", {}, "unexpected_error"),
    ("hostile-exits", {"how": "keyboard-interrupt"}, "unexpected_error"),
    ("hostile-hangs", {"seconds": 1.5}, "detector_timeout"),
    ("hostile-huge-response", {"response_bytes": 9 * 2**20}, "invalid_result"),
    ("hostile-invalid-image", {}, "hostile"),
    ("hostile-leaks", {}, "succeeded"),
    ("hostile-many", {}, "invalid_result"),
    *(
        ("hostile-nan", {"where": where}, "invalid_result")
        for where in ("attributes", "raw_response", "confidence", "box", "billed_units")
    ),
    ("hostile-not-ready", {"failing_calls": 2, "retry_after_seconds": 0.05}, "succeeded"),
    ("hostile-not-ready", {"failing_starts": 2, "retry_after_seconds": 0.05}, "succeeded"),
    ("hostile-observed", {}, "succeeded"),
    ("hostile-outside-boxes", {}, "succeeded"),
    ("hostile-raises", {}, "unexpected_error"),
    ("hostile-raises", {"where": "close"}, "succeeded"),
    ("hostile-raises-for-one", {"key_fragment": "image"}, "unexpected_error"),
    ("hostile-retriable", {"failing_calls": 2, "retry_after_seconds": 0.01}, "succeeded"),
    ("hostile-slow", {"seconds": 0.05}, "succeeded"),
    *(
        ("hostile-unicode", {"where": where}, "invalid_result")
        for where in ("attributes", "raw_response", "label", "model_version")
    ),
    ("hostile-unicode", {"where": "error"}, "nul \N{REPLACEMENT CHARACTER}, surrogate ?"),
    ("hostile-wrong-length", {"surplus": -1}, "invalid_result"),
    ("hostile-wrong-length", {"surplus": 3}, "invalid_result"),
    *(
        ("hostile-wrong-type", {"result": result}, code)
        for result, code in (
            ("none", "invalid_result"),
            ("dict", "invalid_result"),
            ("nothing", "unexpected_error"),
            ("generator", "succeeded"),
            ("detections", "invalid_result"),
            ("exception", "invalid_result"),
        )
    ),
    ("wrong", {"how": "unprintable"}, "unexpected_error"),
    ("wrong", {"how": "unprintable-retriable"}, "unexpected_error"),
    ("wrong", {"how": "fieldless"}, "unexpected_error"),
    ("wrong", {"how": "fieldless-not-ready"}, "unexpected_error"),
    ("wrong", {"how": "code-not-text"}, "7"),
    ("wrong", {"how": "model-version-raises"}, "invalid_result"),
    ("wrong", {"how": "model-version-not-text"}, "invalid_result"),
    ("wrong", {"how": "label-not-text"}, "invalid_result"),
    ("wrong", {"how": "detection-is-dict"}, "invalid_result"),
    ("wrong", {"how": "box-is-tuple"}, "invalid_result"),
    ("wrong", {"how": "huge-bill"}, "invalid_result"),
    ("wrong", {"how": "endless"}, "invalid_result"),
]


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(("name", "options", "expected"), HOSTILE)
def test_a_hostile_detector_harms_neither_the_worker_nor_its_neighbour(
    make_rig: MakeRig, name: str, options: dict[str, Any], expected: str, batch: int
) -> None:
    rig = make_rig(hurried(max_receive_count=2))
    number = HUNG_CALLS - 1 if expected == "detector_timeout" else 3  # one more blames the detector
    for key in keys(number):
        rig.upload(key)
    rig.work_off(
        {"echo": {}, name: {**options, "max_batch_size": batch}},
        detector_timeout_seconds=0.3 if expected == "detector_timeout" else 30,
    )
    assert rig.outcomes("echo") == ["succeeded"] * number
    assert rig.outcomes(name) == [expected] * number
    assert rig.queue.dead_letters() == []
    labels = "SELECT count(*) AS n FROM detections WHERE label LIKE 'image-%%'"
    assert rig.rows(labels)[0]["n"] >= number


def test_a_hostile_detector_alone_does_not_stop_the_worker(make_rig: MakeRig) -> None:
    rig = make_rig(hurried(max_receive_count=2))
    for key in keys(3):
        rig.upload(key)
    with rig.running({"hostile-raises": {}}):
        rig.wait_until_empty()
        rig.upload("late.jpg")
        rig.wait_until_empty()
    assert rig.outcomes("hostile-raises") == ["unexpected_error"] * 4


def test_without_a_dead_letter_queue_a_failure_is_recorded_all_the_same(make_rig: MakeRig) -> None:
    rig = make_rig(hurried(max_receive_count=None))
    rig.upload("a.jpg")
    rig.work_off({"hostile-raises": {}})
    assert rig.outcomes("hostile-raises") == ["unexpected_error"]
    assert rig.queue.receive_counts() == {}


def test_one_poisonous_image_costs_its_batch_nothing(make_rig: MakeRig) -> None:
    rig = make_rig(hurried(max_receive_count=3))
    names = ["poison.jpg", *keys(9)]
    for key in names:
        rig.upload(key)
    rig.work_off({"hostile-raises-for-one": {"max_batch_size": 10}})
    assert rig.outcomes("hostile-raises-for-one") == ["succeeded"] * 9 + ["unexpected_error"]
    assert rig.queue.receive_counts() == {}


def test_a_wait_beyond_all_measure_is_cut_short(rig: Rig, logged: list[Any]) -> None:
    rig.upload("a.jpg")
    with rig.running({"wrong": {"how": "retry-in-a-million-years"}}):
        eventually(lambda: any(entry["event"] == "detector_retried" for entry in logged))
        assert rig.queue.hidden() == 1
    waits = [entry["after_seconds"] for entry in logged if entry["event"] == "detector_retried"]
    assert all(wait < 100_000 for wait in waits)
    assert rig.queue.visible() == 1


# What each detector that fails one check of the SDK must come to, where it is not a success.
FAILING_OUTCOMES = {
    "failing-answers-are-json": "invalid_result",
    "failing-in-time": "detector_timeout",
}


def drawn(number: int) -> bytes:
    file = BytesIO()
    picture = Pillow.new("RGB", (64, 48), "#203040")
    picture.paste("#fff0c0", (8 + number, 8, 24 + number, 20))
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("detector", FAILING, ids=lambda detector: detector.name)
def test_a_detector_that_fails_a_check_harms_nobody(
    make_rig: MakeRig, detector: type[AnyDetector]
) -> None:
    rig = make_rig(hurried(max_receive_count=2))
    expected = FAILING_OUTCOMES.get(detector.name, "succeeded")
    slow = expected == "detector_timeout"
    images = HUNG_CALLS - 1 if slow else 3  # one more blames the detector
    for number, key in enumerate(keys(images)):
        rig.upload(key, drawn(number))
    rig.upload("late-damaged.jpg", b"no image")
    rig.work_off(
        {"conforming": {}, detector.name: {"max_batch_size": 1, "seconds": 2} if slow else {}},
        detector_timeout_seconds=0.5 if slow else 30,
    )
    damaged = "unsupported_format"
    assert rig.outcomes("conforming") == ["succeeded"] * images + [damaged]
    assert rig.outcomes(detector.name) == sorted([expected] * images + [damaged])
    assert rig.queue.dead_letters() == []
