"""The whole worker: real detectors gone wrong, a real database, a queue and an S3 in memory."""

import gc
import threading
import time
import weakref
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from fakes import plugin
from fakes.events import BUCKET, TEST_EVENT, body, created, record, removed, sequencer
from fakes.history import FlakyHistory, MemoryHistory
from fakes.object_store import client_error
from fakes.plugin import Gate, LeavesAtStart
from fakes.queue import MemoryQueue, fast
from fakes.rig import Rig, keys
from fakes.waiting import eventually, worker_threads
from PIL import Image as PillowImage
from retinue_history import History
from retinue_sdk import ConfigurationError, Image, ImageLimits, Pixels, Run
from retinue_sdk.decode import decode as real_decode
from retinue_workers import verdict

MakeRig = Callable[..., Rig]


def hurried(max_receive_count: int | None = 3) -> MemoryQueue:
    """A queue on which hours pass in minutes, for messages that are handed back with a delay."""
    return MemoryQueue(
        visibility_timeout_seconds=10_000, max_receive_count=max_receive_count, clock=fast(50)
    )


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
    ("hostile-wrong-length", {"surplus": -1}, "unexpected_error"),
    ("hostile-wrong-length", {"surplus": 3}, "unexpected_error"),
    *(
        ("hostile-wrong-type", {"result": result}, code)
        for result, code in (
            ("none", "unexpected_error"),
            ("dict", "unexpected_error"),
            ("nothing", "unexpected_error"),
            ("generator", "succeeded"),
            ("detections", "invalid_result"),
            ("exception", "unexpected_error"),
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
    ("wrong", {"how": "endless"}, "unexpected_error"),
]


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(("name", "options", "expected"), HOSTILE)
def test_a_hostile_detector_harms_neither_the_worker_nor_its_neighbour(
    make_rig: MakeRig, name: str, options: dict[str, Any], expected: str, batch: int
) -> None:
    rig = make_rig(hurried(max_receive_count=2))
    for key in keys(3):
        rig.upload(key)
    rig.work_off(
        {"echo": {}, name: {**options, "max_batch_size": batch}},
        detector_timeout_seconds=0.3 if expected == "detector_timeout" else 30,
    )
    assert rig.outcomes("echo") == ["succeeded"] * 3
    assert rig.outcomes(name) == [expected] * 3
    assert rig.queue.dead_letters() == []
    assert rig.rows("SELECT count(*) AS n FROM detections WHERE label LIKE 'image-%%'")[0]["n"] >= 3


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
        eventually(lambda: any(entry["event"] == "retry" for entry in logged))
        time.sleep(0.05)  # what a thread would need to die
        assert "wrong-work" in worker_threads()
    waits = [entry["after_seconds"] for entry in logged if entry["event"] == "retry"]
    assert all(wait < 100_000 for wait in waits)
    assert rig.queue.visible() == 1


# Start and refusal to start.


@pytest.mark.parametrize(
    ("detectors", "named"),
    [
        ({"hostile-configuration": {}}, r"hostile-configuration: .*must be z"),
        ({"hostile-raises": {"where": "start"}}, r"hostile-raises.*RuntimeError: hostile: start"),
        ({"hostile-raises": {"where": "constructor"}}, r"hostile-raises.*hostile: constructor"),
        ({"hostile-raises": {"where": "capabilities"}}, r"hostile-raises.*hostile: capabilities"),
        ({"hostile-raises": {"where": "model_fingerprint"}}, r"hostile-raises.*model_fingerprint"),
        ({"leaves-at-start": {}}, r"leaves-at-start.*SystemExit: no licence"),
    ],
)
def test_a_detector_that_cannot_start_is_named_and_leaves_nothing_behind(
    memory_rig: Rig, detectors: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named):
        memory_rig.worker({"gate": {}, **detectors}).start()
    eventually(lambda: not worker_threads(), what=f"no threads: {worker_threads()}")
    closed = [detector.closed for detector in memory_rig.detectors if isinstance(detector, Gate)]
    # What was started is closed; what was only made has nothing to close.
    assert closed in ([], [True], [False])
    if "started" in named:
        assert closed == [True]


def test_after_a_failed_start_every_detector_is_closed(memory_rig: Rig) -> None:
    worker = memory_rig.worker({"gate": {}, "hostile-raises": {"where": "start"}})
    with pytest.raises(ConfigurationError):
        worker.start()
    gate = memory_rig.detectors[0]
    assert isinstance(gate, Gate)
    assert gate.closed
    assert gate.misuse == []


def test_a_worker_that_is_made_and_never_started_has_no_threads(memory_rig: Rig) -> None:
    memory_rig.worker({"echo": {}})
    assert worker_threads() == []


def test_a_worker_can_be_stopped_twice(memory_rig: Rig) -> None:
    worker = memory_rig.worker({"gate": {}})
    worker.start()
    worker.stop()
    worker.stop()
    gate = memory_rig.detectors[0]
    assert isinstance(gate, Gate)
    assert gate.misuse == []


def test_a_start_that_leaves_while_not_ready_is_tried_again(memory_rig: Rig) -> None:
    memory_rig.upload("a.jpg")
    worker = memory_rig.worker({"leaves-at-start": {"exits_at": 2, "ready_at": 4}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retinue_workers.lane.PROBE_SECONDS", 0.05)
        worker.start()
        try:
            memory_rig.wait_until_empty()
        finally:
            worker.stop()
    detector = memory_rig.detectors[0]
    assert isinstance(detector, LeavesAtStart)
    assert detector.starts == 4


# Not ready, retriable, database away.


def test_while_a_detector_is_not_ready_nothing_is_received_and_no_count_is_burned(
    rig: Rig, logged: list[Any]
) -> None:
    for key in keys(30):
        rig.upload(key)
    not_ready = {"failing_starts": 5, "retry_after_seconds": 0.1, "failing_calls": 0}
    with rig.running({"echo": {}, "hostile-not-ready": not_ready}):
        eventually(lambda: any(entry["event"] == "receiving_stopped" for entry in logged))
        assert rig.queue.receives == 0
        assert set(rig.queue.receive_counts().values()) == {0}
        rig.wait_until_empty()
    reasons = [entry for entry in logged if entry["event"] == "receiving_stopped"]
    assert reasons[0]["cause"] == "detector hostile-not-ready"
    assert "start is not ready" in reasons[0]["reason"]
    assert any(entry["event"] == "fault_ended" for entry in logged)
    assert rig.outcomes("hostile-not-ready") == ["succeeded"] * 30


def test_a_detector_that_stops_being_ready_keeps_its_messages(rig: Rig) -> None:
    names = keys(25)
    for key in names:
        rig.upload(key)
    with rig.running(
        {"hostile-not-ready": {"failing_calls": 6, "retry_after_seconds": 0.1}}, max_in_flight=10
    ):
        eventually(lambda: rig.queue.hidden() == 10)
        assert max(rig.queue.receive_counts().values()) == 1
        rig.wait_until_empty()
    assert rig.outcomes("hostile-not-ready") == ["succeeded"] * 25
    assert not any(line.startswith("hide") for line in rig.queue.journal)


def test_a_corrupt_image_does_not_pretend_that_a_detector_is_ready(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    """Only the detector itself can show that it works again."""
    monkeypatch.setattr(verdict, "PROBE_SECONDS", 0.2)
    refused = threading.Event()
    refused.set()

    def fault(bucket: str, key: str) -> None:
        if refused.is_set() and key.startswith("good"):
            raise client_error("AccessDenied", 403)

    memory_rig.s3.fault = fault
    memory_rig.upload("good.jpg", b"x" * 10)
    for key in keys(3, "corrupt"):
        memory_rig.upload(key, b"no image")
    with memory_rig.running({"pixels": {"max_batch_size": 1}}):
        eventually(
            lambda: [e for e in logged if e["event"] == "run"].__len__() == 3,
            what="three failed runs",
        )
        ended = [entry for entry in logged if entry["event"] == "fault_ended"]
        assert ended == []
        refused.clear()
        memory_rig.wait_until_empty()


def test_retriable_errors_are_retried_inside(rig: Rig) -> None:
    for key in keys(20):
        rig.upload(key)
    busy = {"failing_calls": 3, "retry_after_seconds": 0.02, "max_batch_size": 5}
    rig.work_off({"hostile-retriable": busy})
    assert rig.outcomes("hostile-retriable") == ["succeeded"] * 20
    assert not any(line.startswith("hide") for line in rig.queue.journal)


def test_retries_end_with_the_window_and_then_with_the_last_receive(make_rig: MakeRig) -> None:
    rig = make_rig(hurried(max_receive_count=2))
    rig.upload("a.jpg")
    busy = {"failing_calls": 1_000, "retry_after_seconds": 0.02}
    rig.work_off({"echo": {}, "hostile-retriable": busy}, retry_window_seconds=0.2)
    assert rig.outcomes("hostile-retriable") == ["retries_exhausted"]
    assert rig.outcomes("echo") == ["succeeded"]


def test_a_database_away_loses_nothing_and_doubles_nothing(
    history: History, make_rig: MakeRig, observed: list[Run], logged: list[Any]
) -> None:
    flaky = FlakyHistory(history)
    rig = make_rig(over=flaky)
    for key in keys(40):
        rig.upload(key)
    with rig.running({"echo": {"latency_ms": 2}, "hostile-slow": {"seconds": 0.005}}):
        eventually(lambda: len(rig.runs()) > 3)
        flaky.away = True
        eventually(lambda: flaky.refused >= 2)
        before = rig.queue.receives
        eventually(lambda: any(e["event"] == "receiving_stopped" for e in logged))
        time.sleep(0.1)
        assert rig.queue.receives - before <= 1  # the poll that was under way
        flaky.away = False
        flaky.lose_answers = 2
        rig.wait_until_empty()
        assert rig.outcomes("echo") == ["succeeded"] * 40
        assert rig.outcomes("hostile-slow") == ["succeeded"] * 40
    assert rig.rows("SELECT count(*) AS n FROM detections")[0]["n"] == 80
    assert not any(line.startswith(("hide", "dead")) for line in rig.queue.journal)
    assert len({(run.image, run.detector) for run in observed}) == len(observed)


def test_a_queue_away_is_waited_for(rig: Rig, logged: list[Any]) -> None:
    rig.queue.unavailable = "no route to SQS"
    rig.upload("a.jpg")
    with rig.running({"echo": {}}):
        eventually(lambda: any(e["event"] == "receive_failed" for e in logged))
        rig.queue.unavailable = None
        rig.wait_until_empty()
    assert rig.outcomes("echo") == ["succeeded"]


def test_a_delete_that_fails_only_costs_a_redelivery(rig: Rig, observed: list[Run]) -> None:
    rig.upload("a.jpg")
    rig.queue.refuse_deletes = 1
    with rig.running({"echo": {}}):
        eventually(lambda: rig.queue.refuse_deletes == 0)
        rig.queue.reappear()
        rig.wait_until_empty()
    assert rig.outcomes("echo") == ["succeeded"]
    assert len(observed) == 1


# Messages.


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


# Several workers; observers.


def test_two_workers_on_one_queue_make_one_run_of_each_key(rig: Rig, observed: list[Run]) -> None:
    etags = {}
    for key in keys(60):
        etags[key] = rig.s3.put_object(Bucket=BUCKET, Key=key, Body=b"?")["ETag"].strip('"')
    for _ in range(3):
        for key, etag in etags.items():
            rig.queue.send(created(key, etag=etag))
    detectors = {"echo": {"latency_ms": 3}, "hostile-retriable": {"failing_calls": 0}}
    with rig.running(detectors, max_in_flight=20), rig.running(detectors, max_in_flight=20):
        rig.wait_until_empty()
    assert len(rig.runs()) == 120
    assert rig.outcomes("echo") == ["succeeded"] * 60
    assert len(observed) == 120
    assert len({(run.image.key, run.detector) for run in observed}) == 120


def test_observers_are_told_of_each_run_once_whatever_others_do(
    rig: Rig, observed: list[Run], logged: list[Any]
) -> None:
    for key in keys(10):
        rig.upload(key)
    rig.work_off({"hostile-observed": {}, "hostile-invalid-image": {"code": "blurred"}})
    assert sorted((run.image.key, run.detector, run.error_code) for run in observed) == sorted(
        (key, detector, code)
        for key in keys(10)
        for detector, code in (("hostile-observed", None), ("hostile-invalid-image", "blurred"))
    )
    assert sum(entry["event"] == "observer_failed" for entry in logged) == 10


def test_an_observer_that_hangs_stops_nobody(rig: Rig, observed: list[Run]) -> None:
    plugin.observer_gate.clear()
    for key in keys(30):
        rig.upload(key)
    with rig.running({"echo": {}}, max_in_flight=10):
        rig.wait_until_empty()
        assert observed == []
        plugin.observer_gate.set()
    assert len(observed) == 30


def test_an_observer_that_leaves_is_as_one_that_raises(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(run: Run) -> None:
        raise SystemExit(run.image.key)

    for implementation in rig.plugins._manager.hook.retinue_run_finished.get_hookimpls():
        monkeypatch.setattr(implementation, "function", leave)
    for key in keys(30):
        rig.upload(key)
    rig.work_off({"echo": {}}, max_in_flight=10)
    assert rig.outcomes("echo") == ["succeeded"] * 30


# Stopping.


def gate_of(rig: Rig) -> Gate:
    (gate,) = (detector for detector in rig.detectors if isinstance(detector, Gate))
    return gate


def test_a_stop_lets_running_calls_finish_and_hands_the_rest_back_at_once(rig: Rig) -> None:
    for key in keys(12):
        rig.upload(key)
    worker = rig.worker({"gate": {}, "echo": {}})
    worker.start()
    gate = gate_of(rig)
    assert gate.entered.wait(10)
    eventually(lambda: rig.queue.hidden() == 12)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    # Handed back while the call still runs.
    eventually(lambda: rig.queue.visible() == 11, what=f"{rig.queue.journal}")
    gate.go_on.set()
    stopping.join(10)
    assert rig.outcomes("gate") == ["succeeded"]
    assert rig.queue.visible() == 11
    assert rig.queue.hidden() == 0
    assert gate.closed
    assert gate.misuse == []
    assert len(gate.batches) == 1


def test_a_call_that_outlasts_the_grace_is_abandoned_and_its_message_handed_back(rig: Rig) -> None:
    rig.upload("a.jpg")
    worker = rig.worker({"gate": {}}, shutdown_grace_seconds=0.2)
    worker.start()
    gate = gate_of(rig)
    assert gate.entered.wait(10)
    began = time.monotonic()
    worker.stop()
    assert time.monotonic() - began < 2
    assert rig.queue.visible() == 1
    assert not gate.closed  # it is still at work
    gate.go_on.set()
    rig.work_off({"echo": {}})


def test_one_lane_that_takes_its_time_does_not_keep_another_fed_or_from_its_grace(
    memory_rig: Rig,
) -> None:
    for key in keys(20):
        memory_rig.upload(key)
    worker = memory_rig.worker(
        {"gate": {}, "hostile-slow": {"seconds": 0.1}}, shutdown_grace_seconds=1.0
    )
    worker.start()
    gate = gate_of(memory_rig)
    assert gate.entered.wait(10)
    worker.stop()
    history = memory_rig.history
    assert isinstance(history, MemoryHistory)
    slow = [run for run in history.runs if run.key.detector == "hostile-slow"]
    assert len(slow) <= 3  # not the ten that a second would have been enough for
    assert memory_rig.queue.hidden() == 0
    gate.go_on.set()


def test_a_stop_while_messages_arrive_hands_them_back(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long poll cannot be interrupted; what it brings after the stop is not ours any more."""
    queue = memory_rig.queue
    polling, receive = threading.Event(), queue.receive
    release = threading.Event()

    def slow_receive(limit: int) -> Any:
        polling.set()
        release.wait(10)
        return receive(limit)

    monkeypatch.setattr(queue, "receive", slow_receive)
    worker = memory_rig.worker({"echo": {}, "pixels": {}})
    worker.start()
    assert polling.wait(10)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    eventually(lambda: worker._consumer._stopping.is_set())
    memory_rig.upload("a.jpg")
    release.set()
    stopping.join(10)
    assert queue.hidden() == 0
    assert queue.visible() == 1
    assert isinstance(memory_rig.history, MemoryHistory)
    assert memory_rig.history.runs == []


def test_a_stop_while_images_load_hands_all_back(memory_rig: Rig) -> None:
    loading, release = threading.Event(), threading.Event()

    def fault(bucket: str, key: str) -> None:
        loading.set()
        release.wait(10)

    memory_rig.s3.fault = fault
    for key in keys(25):
        memory_rig.upload(key)
    worker = memory_rig.worker({"bytes": {}, "pixels": {}}, prefetch_images=3)
    worker.start()
    assert loading.wait(10)
    eventually(lambda: memory_rig.queue.hidden() == 25)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    eventually(lambda: worker._loader._stopping)
    release.set()
    stopping.join(10)
    assert not stopping.is_alive()
    assert memory_rig.queue.hidden() == 0
    assert len(memory_rig.s3.gets) <= 4


def test_a_stop_while_the_database_is_away_hands_all_back(memory_rig: Rig) -> None:
    assert isinstance(memory_rig.history, MemoryHistory)
    memory_rig.history.away = True
    for key in keys(5):
        memory_rig.upload(key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retinue_workers.worker.COMMIT_SECONDS", 0.3)
        with memory_rig.running({"echo": {}}):
            eventually(lambda: memory_rig.queue.hidden() == 5)
            eventually(lambda: memory_rig.history.calls >= 2)  # type: ignore[attr-defined]
    assert memory_rig.queue.hidden() == 0
    assert memory_rig.queue.visible() == 5


def test_a_stop_while_a_detector_starts_does_not_close_it_underneath(memory_rig: Rig) -> None:
    entered, go_on = threading.Event(), threading.Event()
    worker = memory_rig.worker({"leaves-at-start": {"exits_at": 0, "ready_at": 2}})
    detector = memory_rig.detectors[0]
    assert isinstance(detector, LeavesAtStart)
    events: list[str] = []
    start = detector.start

    def slow_start() -> None:
        if detector.starts == 1:
            entered.set()
            go_on.wait(10)
        start()
        events.append("started")

    detector.start = slow_start  # type: ignore[method-assign]
    detector.close = lambda: events.append("closed")  # type: ignore[method-assign]
    worker.start()
    assert entered.wait(10)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    eventually(lambda: worker._consumer._stopping.is_set())
    go_on.set()
    stopping.join(10)
    assert events == ["started", "closed"]


def test_heartbeats_keep_slow_messages_hidden(make_rig: MakeRig) -> None:
    rig = make_rig(MemoryQueue(visibility_timeout_seconds=2))
    rig.upload("a.jpg")
    rig.work_off(
        {"hostile-slow": {"seconds": 2.8}}, visibility_timeout_seconds=2, heartbeat_seconds=0.4
    )
    assert rig.outcomes("hostile-slow") == ["succeeded"]
    assert sum(line.startswith("hide") for line in rig.queue.journal) >= 4
    assert rig.queue.journal[-1].startswith("delete")


# Memory.


class LiveImages:
    """Counts decoded images in memory.

    Attributes:
        now: How many there are.
        most: How many there were at most.
    """

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self._lock = threading.Lock()
        self._references: list[Any] = []

    def watch(self, pixels: Any) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self._references.append(weakref.ref(pixels, self._gone))

    def _gone(self, _: Any) -> None:
        self.now -= 1  # under the interpreter's own lock: no other thread may hold ours


@pytest.fixture
def live_images(monkeypatch: pytest.MonkeyPatch) -> LiveImages:
    live = LiveImages()

    def decode(data: bytes, limits: ImageLimits) -> Pixels:
        pixels = real_decode(data, limits)
        live.watch(pixels)
        return pixels

    monkeypatch.setattr("retinue_sdk.image.decode", decode)
    return live


def test_no_more_images_are_held_than_may_be_even_beside_a_detector_by_reference(
    memory_rig: Rig, live_images: LiveImages
) -> None:
    for index in range(30):
        memory_rig.upload(f"{index}.png", _png())
    memory_rig.work_off(
        {"echo": {}, "pixels": {"hold_seconds": 0.005, "max_batch_size": 2}}, prefetch_images=3
    )
    assert live_images.most <= 3
    eventually(lambda: live_images.now == 0)


def test_a_message_with_many_images_does_not_hold_them_all(
    memory_rig: Rig, live_images: LiveImages
) -> None:
    records = []
    for index in range(20):
        key = f"{index}.png"
        etag = memory_rig.s3.put_object(Bucket=BUCKET, Key=key, Body=_png())["ETag"].strip('"')
        records.append(record(key, etag=etag))
    memory_rig.queue.send(body(*records))
    memory_rig.work_off({"pixels": {"max_batch_size": 2}}, prefetch_images=3)
    assert live_images.most <= 3
    eventually(lambda: live_images.now == 0)
    assert isinstance(memory_rig.history, MemoryHistory)
    assert all(image.width_px == 8 for image in memory_rig.history.images)


def test_images_are_let_go_while_the_database_is_away(
    memory_rig: Rig, live_images: LiveImages
) -> None:
    assert isinstance(memory_rig.history, MemoryHistory)
    for index in range(10):
        memory_rig.upload(f"{index}.png", _png())
    with memory_rig.running({"pixels": {}}, prefetch_images=3):
        eventually(lambda: memory_rig.queue.empty() or memory_rig.history.calls > 0)  # type: ignore[attr-defined]
        memory_rig.history.away = True
        for index in range(10, 30):
            memory_rig.upload(f"{index}.png", _png())
        eventually(lambda: len(memory_rig.s3.gets) >= 10)
        memory_rig.history.away = False
        memory_rig.wait_until_empty()
    assert live_images.most <= 3


def _png() -> bytes:
    file = BytesIO()
    PillowImage.new("RGB", (8, 8), "red").save(file, "PNG")
    return file.getvalue()


def test_an_image_that_cannot_be_decoded_is_let_go_without_the_garbage_collector(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error was raised, and refers to the frames, which refer to the image."""
    images: list[weakref.ref[Image]] = []

    class Watched(Image):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            images.append(weakref.ref(self))

    monkeypatch.setattr("retinue_workers.pipeline.Image", Watched)
    for key in keys(20):
        memory_rig.upload(key, b"no image")
    gc.collect()
    gc.disable()
    try:
        memory_rig.work_off({"pixels": {}, "bytes": {}}, prefetch_images=3)
        eventually(lambda: sum(image() is not None for image in images) == 0)
    finally:
        gc.enable()
    assert len(images) == 20
