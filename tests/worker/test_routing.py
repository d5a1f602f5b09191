"""Detectors with a route are given the images that their conditions admit, and no others."""

import io
from typing import Any, cast

import pytest
from fakes.events import BUCKET, created
from fakes.object_store import client_error
from fakes.plugin import Gate
from fakes.rig import MakeRig, Rig, hurried
from fakes.waiting import eventually
from PIL import Image as PillowImage
from retinue_cli.replay.message import Request
from retinue_sdk import ConfigurationError, ImageReference
from retinue_workers.settings.settings import Settings

PRICED = {"hostile-slow": {"seconds": 0}}
"""A detector to be routed; ``echo`` finds a label made of the key, and goes before it."""


def photograph(width: int, height: int, orientation: int = 1) -> bytes:
    file = io.BytesIO()
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    PillowImage.new("RGB", (width, height)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def outcomes(rig: Rig, detector: str = "hostile-slow") -> dict[str, str]:
    """For each key what became of a detector's newest run: its code, or ``succeeded``."""
    return {key: code or outcome for key, name, outcome, code in rig.runs() if name == detector}


CASES: list[tuple[dict[str, Any], str | None]] = [
    ({"key": "in/*"}, None),
    ({"key": ["no/*", "in/*"]}, None),
    ({"key": "no/*"}, "skipped_by_key"),
    ({"bucket": "pho*"}, None),
    ({"bucket": "other"}, "skipped_by_bucket"),
    ({"extension": ["PNG", ".jpg"]}, None),
    ({"extension": "png"}, "skipped_by_extension"),
    ({"min_size_bytes": 100}, None),
    ({"max_size_bytes": 100}, "skipped_by_size"),
    ({"content_type": "image/*"}, None),
    ({"content_type": "image/png"}, "skipped_by_content_type"),
    ({"metadata": {"camera": "north*"}}, None),
    ({"metadata": {"camera": "south*"}}, "skipped_by_metadata"),
    ({"metadata": {"owner": "*"}}, "skipped_by_metadata"),
    ({"tags": {"review": "yes"}}, None),
    ({"tags": {"review": "no"}}, "skipped_by_tags"),
    ({"min_width_px": 30, "max_height_px": 60}, None),
    ({"min_width_px": 31}, "skipped_by_pixels"),
    ({"found": {"detector": "echo", "label": "tom"}}, None),
    ({"found": {"detector": "echo", "label": "tom", "kind": "label", "min_confidence": 1}}, None),
    ({"found": {"detector": "echo", "label": "jerry"}}, "skipped_by_findings"),
    ({"found": {"detector": "echo", "kind": "face"}}, "skipped_by_findings"),
    ({"found": {"detector": "echo", "min_count": 2}}, "skipped_by_findings"),
    ({"found": [{"detector": "echo"}], "tags": {"review": "no"}}, "skipped_by_tags"),
    ({"found": {"detector": "echo", "label": None}, "key": None, "extension": "jpg"}, None),
]


@pytest.mark.parametrize(("route", "code"), CASES)
def test_a_condition_admits_or_skips(rig: Rig, route: dict[str, Any], code: str | None) -> None:
    rig.upload(
        "in/tom.jpg",
        photograph(60, 30, orientation=6),
        ContentType="image/jpeg",
        Metadata={"camera": "north gate"},
        Tagging="review=yes",
    )
    rig.work_off({"echo": {}, **PRICED}, routes={"hostile-slow": route})
    assert outcomes(rig) == {"in/tom.jpg": code or "succeeded"}
    assert outcomes(rig, "echo") == {"in/tom.jpg": "succeeded"}
    asks = bool({"content_type", "metadata"} & set(route))
    assert len(rig.s3.heads) == asks


def test_a_skip_is_a_row_with_its_reason_and_what_it_saved(rig: Rig) -> None:
    for key in ("tom.jpg", "jerry.jpg", "spike.jpg"):
        rig.upload(key)
    rig.work_off(
        {"echo": {}, **PRICED},
        routes={"hostile-slow": {"found": {"detector": "echo", "label": "tom"}}},
        prices={"hostile-slow": "0.001"},
    )
    skips = rig.rows("SELECT * FROM skipped_runs ORDER BY key")
    assert [row["key"] for row in skips] == ["jerry.jpg", "spike.jpg"]
    assert {row["reason_code"] for row in skips} == {"skipped_by_findings"}
    assert skips[0]["reason"] == "echo found no tom"
    [costs] = rig.rows("SELECT * FROM run_costs WHERE detector = 'hostile-slow'")
    assert (costs["runs"], costs["failed_runs"], costs["skipped_runs"]) == (1, 0, 2)
    assert (float(costs["price_usd"]), float(costs["saved_usd"])) == (0.001, 0.002)
    assert rig.rows("SELECT * FROM failed_runs") == []
    assert len(rig.rows("SELECT * FROM latest_detections WHERE detector = 'hostile-slow'")) == 1


def test_a_chain_of_conditions(rig: Rig) -> None:
    rig.upload("tom.jpg")
    rig.upload("jerry.jpg")
    routes = {
        "hostile-observed": {"found": {"detector": "hostile-slow", "label": "tom"}},
        "hostile-slow": {"found": {"detector": "echo", "label": "tom"}},
        "hostile-leaks": {"found": {"detector": "hostile-slow", "if_unknown": "run"}},
    }
    detectors = {"hostile-observed": {}, "hostile-leaks": {}, **PRICED, "echo": {}}
    rig.work_off(detectors, routes=routes)
    assert outcomes(rig, "hostile-slow") == {
        "tom.jpg": "succeeded",
        "jerry.jpg": "skipped_by_findings",
    }
    assert outcomes(rig, "hostile-observed") == {
        "tom.jpg": "succeeded",
        "jerry.jpg": "skipped_unknown",
    }
    assert outcomes(rig, "hostile-leaks") == {"tom.jpg": "succeeded", "jerry.jpg": "succeeded"}


@pytest.mark.parametrize(
    ("if_unknown", "then"), [("skip", "skipped_unknown"), ("run", "succeeded")]
)
def test_findings_of_a_run_that_failed_are_unknown(rig: Rig, if_unknown: str, then: str) -> None:
    rig.upload("tom.jpg")
    found = {"detector": "hostile-invalid-image", "if_unknown": if_unknown}
    rig.work_off({"hostile-invalid-image": {}, **PRICED}, routes={"hostile-slow": {"found": found}})
    assert outcomes(rig) == {"tom.jpg": then}


def test_findings_are_read_from_the_history_when_a_message_comes_again(make_rig: MakeRig) -> None:
    """The one that goes before succeeds at once; the other only at the message's second receive."""
    rig = make_rig(hurried(max_receive_count=5))
    rig.upload("tom.jpg")
    rig.upload("jerry.jpg")
    detectors = {"echo": {}, "hostile-retriable": {"failing_calls": 2}}
    rig.work_off(
        detectors,
        routes={"hostile-retriable": {"found": {"detector": "echo", "label": "tom"}}},
        retry_window_seconds=0,
    )
    assert outcomes(rig, "hostile-retriable") == {
        "tom.jpg": "succeeded",
        "jerry.jpg": "skipped_by_findings",
    }
    assert rig.outcomes("echo") == ["succeeded"] * 2


def test_the_same_event_again_makes_no_second_skip(rig: Rig) -> None:
    etag = rig.s3.put_object(Bucket=BUCKET, Key="tom.jpg", Body=b"?")["ETag"].strip('"')
    body = created("tom.jpg", etag=etag)
    rig.queue.send(body)
    routes = {"hostile-slow": {"key": "no/*"}}
    for _ in range(2):
        rig.work_off({"echo": {}, **PRICED}, routes=routes)
        rig.queue.send(body)
    assert rig.outcomes("hostile-slow") == ["skipped_by_key"]
    rig.work_off({"echo": {}, **PRICED})
    assert rig.outcomes("hostile-slow") == ["skipped_by_key", "succeeded"]
    assert rig.rows("SELECT * FROM skipped_runs") == []
    assert rig.outcomes("echo") == ["succeeded"]


def test_a_route_is_no_part_of_the_fingerprint(rig: Rig) -> None:
    rig.upload("tom.jpg")
    rig.work_off({"echo": {}}, routes={"echo": {"key": "*"}})
    rig.upload("tom.jpg")
    rig.work_off({"echo": {}})
    assert rig.outcomes("echo") == ["succeeded"]


def test_an_object_that_is_gone_is_a_failed_run_and_not_a_skip(rig: Rig) -> None:
    rig.upload("tom.jpg")
    rig.s3.delete_object(Bucket="photos", Key="tom.jpg")
    rig.work_off({"echo": {}, **PRICED}, routes={"hostile-slow": {"content_type": "image/*"}})
    assert outcomes(rig) == {"tom.jpg": "object_not_found"}
    assert rig.rows("SELECT deleted_at FROM images")[0]["deleted_at"] is not None


def test_s3_that_refuses_stops_receiving_and_blames_no_image(rig: Rig, logged: list[Any]) -> None:
    def refuse(bucket: str, key: str) -> None:
        raise client_error("AccessDenied", 403)

    rig.s3.fault = refuse
    rig.upload("tom.jpg", Tagging="a=b")
    with rig.running({**PRICED}, routes={"hostile-slow": {"tags": {"a": "b"}}}):
        eventually(lambda: any(entry["event"] == "receiving_paused" for entry in logged))
    stopped = next(entry for entry in logged if entry["event"] == "receiving_paused")
    assert "s3:GetObjectTagging" in stopped["reason"]
    assert rig.runs() == []
    assert rig.queue.visible() == 1  # handed back by the stop


def test_a_stop_hands_back_what_waits_for_findings(rig: Rig) -> None:
    for index in range(20):
        rig.upload(f"{index}.jpg")
    with rig.running(
        {"gate": {}, **PRICED},
        routes={"hostile-slow": {"found": {"detector": "gate"}}},
        shutdown_grace_seconds=1,
    ):
        gate = cast("Gate", rig.detectors[0])
        assert gate.entered.wait(20)
        eventually(lambda: rig.queue.visible() == 0)
    gate.go_on.set()  # too late
    assert rig.runs() == []
    eventually(lambda: rig.queue.visible() == 20)


def test_pixels_are_shared_with_a_detector_that_is_admitted(rig: Rig) -> None:
    rig.upload("in/a.jpg", photograph(8, 8))
    rig.upload("out/b.jpg", photograph(8, 8))
    routes = {"bytes": {"found": {"detector": "pixels", "label": "8x8"}, "key": "in/*"}}
    rig.work_off({"pixels": {}, "bytes": {}}, routes=routes, prefetch_images=1)
    assert outcomes(rig, "bytes") == {"in/a.jpg": "succeeded", "out/b.jpg": "skipped_by_key"}
    assert len(rig.s3.gets) == 2


def test_what_is_skipped_is_never_fetched(rig: Rig) -> None:
    rig.upload("tom.jpg", photograph(8, 8))
    rig.upload("jerry.jpg", photograph(8, 8))
    routes = {"pixels": {"found": {"detector": "echo", "label": "tom"}}}
    rig.work_off({"pixels": {}, "echo": {}}, routes=routes)
    assert rig.s3.gets == [("photos", "tom.jpg")]
    assert rig.outcomes("pixels") == ["skipped_by_findings", "succeeded"]


@pytest.mark.parametrize(
    ("routes", "says"),
    [
        ('{"b": {"key": "*"}}', "b isn't one of the detectors (a): add it"),
        ('{"a": {"found": {"detector": "b"}}}', "the route of a: b isn't one of the detectors"),
        ('{"a": {"found": {"detector": "a"}}}', "a → a. Remove one"),
        ('{"a": {}}', "has no condition"),
        ('{"a": {"keys": "*"}}', "[a][keys]: Extra inputs"),
        ('{"a": {"min_size_bytes": 2, "max_size_bytes": 1}}', "min_size_bytes (2) is above"),
        ('{"a": {"found": {"detector": "a", "min_confidence": 50}}}', "less than or equal to 1"),
        ('{"a": {"metadata": {"Camera": "*"}}}', "lower case"),
        ('{"a": {"key": []}}', "at least 1"),
        ('{"a": ', "must be JSON"),
    ],
)
def test_what_cannot_work_is_refused_by_name(
    routes: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETINUE_DETECTORS", '{"a": {}}')
    monkeypatch.setenv("RETINUE_ROUTES", routes)
    with pytest.raises(ConfigurationError) as refused:
        Settings.load()
    assert "RETINUE_ROUTES" in str(refused.value)
    assert says in str(refused.value)


def test_a_circle_is_refused() -> None:
    routes = {"a": {"found": {"detector": "b"}}, "b": {"found": {"detector": "a"}}}
    with pytest.raises(ValueError, match="routes form a cycle: a → b → a"):
        Settings(detectors={"a": {}, "b": {}}, routes=routes)


def test_a_replay_of_one_detector_reads_what_the_other_found(rig: Rig) -> None:
    rig.upload("tom.jpg")
    rig.upload("jerry.jpg")
    route = {"found": {"detector": "echo", "label": "tom"}}
    rig.work_off({"echo": {}})
    for key in ("tom.jpg", "jerry.jpg"):
        [image] = rig.rows("SELECT etag, uploaded_at FROM images WHERE key = %s", key)
        reference = ImageReference(BUCKET, key, None, image["etag"])
        replay = Request(reference, image["uploaded_at"], 1, None, "7", ["hostile-slow"])
        rig.queue.send(replay.body())
    rig.work_off({"echo": {}, **PRICED}, routes={"hostile-slow": route})
    assert outcomes(rig) == {"tom.jpg": "succeeded", "jerry.jpg": "skipped_by_findings"}
    assert rig.outcomes("echo") == ["succeeded"] * 2
