"""Test the effects and the ends of messages."""

import pytest
from fakes.events import BUCKET, TEST_EVENT, body, created, record, removed, sequencer
from fakes.rig import MakeRig, Rig, hurried
from fakes.waiting import eventually
from retinue_sdk import Run


def test_a_redelivery_after_a_crash_between_commit_and_delete_makes_no_second_run(
    rig: Rig, observed: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.upload("a.jpg")
    with monkeypatch.context() as crash:
        crash.setattr(rig.queue, "delete", lambda messages: None)  # it never reached SQS
        with rig.running({"echo": {}, "hostile-invalid-image": {}}):
            eventually(lambda: len(rig.runs()) == 2)
    rig.queue.reappear()
    rig.work_off({"echo": {}, "hostile-invalid-image": {}})
    assert len(rig.runs()) == 2
    assert len(observed) == 2


def test_duplicate_events_make_one_run_and_are_told_once(rig: Rig, observed: list[Run]) -> None:
    etag = rig.s3.put_object(Bucket=BUCKET, Key="a.jpg", Body=b"?")["ETag"].strip('"')
    same = created("a.jpg", etag=etag, sequence=sequencer())
    for _ in range(5):
        rig.queue.send(same)
    for _ in range(5):  # uploaded again: another event, the same image
        rig.queue.send(created("a.jpg", etag=etag))
    rig.work_off({"echo": {}})
    assert rig.outcomes("echo") == ["succeeded"]
    assert len(observed) == 1
    assert rig.rows("SELECT count(*) AS n FROM detections")[0]["n"] == 1


def test_one_message_with_the_same_image_twice_is_told_once(rig: Rig, observed: list[Run]) -> None:
    rig.queue.send(body(record("a.jpg"), record("a.jpg")))
    rig.work_off({"echo": {}})
    assert rig.outcomes("echo") == ["succeeded"]
    assert len(observed) == 1


def test_each_failed_attempt_of_each_event_is_told(rig: Rig, observed: list[Run]) -> None:
    rig.queue.send(body(record("a.jpg"), record("b.jpg")))
    rig.queue.send(created("a.jpg"))
    rig.work_off({"hostile-hangs": {"seconds": 0.5}}, detector_timeout_seconds=0.1)
    assert rig.outcomes("hostile-hangs") == ["detector_timeout"] * 3
    assert len(observed) == 3
    assert [run.succeeded for run in observed] == [False] * 3


def test_several_records_created_and_removed(rig: Rig) -> None:
    rig.queue.send(
        body(
            record("a.jpg"),
            record("b.jpg"),
            record("gone.jpg"),
            record("gone.jpg", name="ObjectRemoved:Delete", size=None, etag=None),
            record("folder/", size=0),
        )
    )
    rig.queue.send(removed("never-seen.jpg"))
    rig.work_off({"echo": {}})
    assert rig.outcomes("echo") == ["succeeded"] * 3
    deleted = rig.rows("SELECT key FROM images WHERE deleted_at IS NOT NULL")
    assert deleted == [{"key": "gone.jpg"}]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"x"',
        "null",
        '{"Records": 5}',
        '{"Records": [{"eventName": "x"}, 5]}',
        "\ud83d",
    ],
)
def test_what_is_no_event_ends_in_the_dead_letter_queue(make_rig: MakeRig, text: str) -> None:
    rig = make_rig(hurried(max_receive_count=3))
    rig.queue.send(text)
    rig.upload("fine.jpg")
    rig.work_off({"echo": {}})
    assert rig.queue.dead_letters() == [text]
    assert rig.outcomes("echo") == ["succeeded"]


def test_a_good_record_counts_beside_a_bad_one(make_rig: MakeRig, observed: list[Run]) -> None:
    rig = make_rig(hurried(max_receive_count=3))
    message = body(record("a.jpg"), {"eventName": "ObjectCreated:Put"})
    rig.queue.send(message)
    rig.work_off({"echo": {}})
    assert rig.queue.dead_letters() == [message]
    assert rig.outcomes("echo") == ["succeeded"]
    assert len(observed) == 1


def test_a_test_event_is_deleted(rig: Rig) -> None:
    rig.queue.send(TEST_EVENT)
    rig.work_off({"echo": {}})
    assert rig.runs() == []
    assert rig.queue.dead_letters() == []


def test_a_bucket_that_is_gone_is_a_failed_run(rig: Rig) -> None:
    rig.queue.send(created("a.jpg", bucket="gone"))
    rig.queue.send(created("b.jpg"))  # in a bucket that exists, but deleted meanwhile
    rig.work_off({"pixels": {}, "echo": {}})
    assert rig.runs() == [
        ("a.jpg", "echo", "succeeded", None),
        ("a.jpg", "pixels", "failed", "bucket_not_found"),
        ("b.jpg", "echo", "succeeded", None),
        ("b.jpg", "pixels", "failed", "object_not_found"),
    ]
    assert len(rig.rows("SELECT FROM images WHERE deleted_at IS NOT NULL")) == 2


def test_an_image_that_was_overwritten_is_not_taken_for_its_successor(rig: Rig) -> None:
    rig.upload("a.jpg", b"first")
    rig.s3.put_object(Bucket=BUCKET, Key="a.jpg", Body=b"second")
    rig.work_off({"bytes": {}})
    assert rig.outcomes("bytes") == ["object_replaced"]


KEYS = [
    "with space.jpg",
    "a+b.jpg",
    "100%.jpg",
    "'single' and \"double\".jpg",
    "katze 🐈‍⬛.jpg",
    "x" * 1_024,
    "🐈" * 256,
    "line\nbreak\ttab.jpg",
    "a/b//c/../d.jpg",
    "C:\\windows.jpg",
    "../../etc/passwd",
    " ",
]


def test_any_key_goes_through(rig: Rig) -> None:
    for key in KEYS:
        rig.upload(key, key.encode())
    rig.work_off({"bytes": {}})
    assert {key for key, *_ in rig.runs()} == set(KEYS)
    assert rig.outcomes("bytes") == ["succeeded"] * len(KEYS)
