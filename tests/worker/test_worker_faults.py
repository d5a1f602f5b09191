"""Test temporary faults: detectors that aren't ready or busy, an unavailable database."""

import time
from collections import Counter
from typing import Any

import pytest
from fakes.history import FlakyHistory
from fakes.object_store import client_error
from fakes.queue import MemoryQueue
from fakes.rig import MakeRig, Rig, hurried, keys
from fakes.waiting import eventually
from retinue_history import History
from retinue_sdk import Run
from retinue_workers.detectors import retry_policy
from retinue_workers.work import Message


def test_while_a_detector_is_not_ready_nothing_is_received_and_no_count_is_burned(
    rig: Rig, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in keys(30):
        rig.upload(key)
    receive, before = rig.queue.receive, list[dict[str, Any]]()

    async def watched(limit: int) -> list[Message]:
        before[:] = before or logged
        return await receive(limit)

    monkeypatch.setattr(rig.queue, "receive", watched)
    not_ready = {"failing_starts": 5, "retry_after_seconds": 0.1, "failing_calls": 0}
    rig.work_off({"echo": {}, "hostile-not-ready": not_ready})
    reason, *_ = [entry for entry in before if entry["event"] == "receiving_paused"]
    assert reason["cause"] == "detector hostile-not-ready"
    assert "start is not ready" in reason["reason"]
    assert any(entry["event"] == "fault_cleared" for entry in before), "nothing received until then"
    assert rig.outcomes("hostile-not-ready") == ["succeeded"] * 30


def test_a_detector_that_stops_being_ready_keeps_its_messages(rig: Rig) -> None:
    names = keys(25)
    for key in names:
        rig.upload(key)
    rig.work_off(
        {"hostile-not-ready": {"failing_calls": 6, "retry_after_seconds": 0.1}}, max_in_flight=10
    )
    assert rig.outcomes("hostile-not-ready") == ["succeeded"] * 25
    assert not any(line.startswith("hide") for line in rig.queue.journal)


def test_an_object_that_alone_is_refused_fails_alone(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    """S3 still gives out others, corrupt as they are: so nothing is wrong with the rights."""
    monkeypatch.setattr(retry_policy, "PROBE_SECONDS", 0.2)

    def fault(bucket: str, key: str) -> None:
        if key.startswith("refused"):
            raise client_error("AccessDenied", 403)

    memory_rig.s3.fault = fault
    memory_rig.upload("refused.jpg", b"x" * 10)
    for key in keys(3, "corrupt"):
        memory_rig.upload(key, b"no image")
    with memory_rig.running({"pixels": {"max_batch_size": 1}}):
        memory_rig.wait_until_empty()
    codes = sorted(entry["error_code"] for entry in logged if entry["event"] == "run_recorded")
    assert codes == ["access_denied", *["unsupported_format"] * 3]


@pytest.fixture
def refused(memory_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """S3 refuses every key that begins with ``refused``; probes are quick."""
    monkeypatch.setattr(retry_policy, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr("retinue_workers.limits.receive_gate.PROBE_SECONDS", 0.1)

    def fault(bucket: str, key: str) -> None:
        if key.startswith("refused"):
            raise client_error("AccessDenied", 403)

    memory_rig.s3.fault = fault
    return memory_rig


def recorded(logged: list[Any]) -> Counter[str]:
    """Return how many runs were recorded, by error code or outcome."""
    runs = [entry for entry in logged if entry["event"] == "run_recorded"]
    return Counter(run.get("error_code") or run["outcome"] for run in runs)


def test_a_refused_object_that_comes_first_waits_for_another(
    refused: Rig, logged: list[Any]
) -> None:
    """Nothing readable was there before it, and nothing comes during the poll under way."""
    refused.upload("refused.jpg")
    with refused.running({"bytes": {}}) as worker:
        eventually(lambda: "S3 refuses" in worker.worker.liveness.state()[1])
        before = refused.queue.receives
        eventually(lambda: refused.queue.receives > before + 2, what="probes to pass")
        assert recorded(logged) == {}
        for key in keys(10):
            refused.upload(key)
        refused.wait_until_empty()
        eventually(lambda: worker.worker.liveness.state() == (True, "healthy"))
    assert recorded(logged) == {"access_denied": 1, "succeeded": 10}
    assert not any(line.startswith(("hide", "dead")) for line in refused.queue.journal)


@pytest.mark.parametrize("in_flight", [10, 40])
def test_refused_objects_that_fill_the_worker_keep_nothing_out(
    refused: Rig, logged: list[Any], in_flight: int
) -> None:
    for key in [*keys(in_flight, "refused/a"), *keys(30)]:
        refused.upload(key)
    refused.work_off({"bytes": {}}, max_in_flight=in_flight)
    assert recorded(logged) == {"access_denied": in_flight, "succeeded": 30}


@pytest.mark.parametrize("batch", [1, 10])
def test_a_refused_object_that_comes_alone_after_many_is_recorded(
    refused: Rig, logged: list[Any], batch: int
) -> None:
    with refused.running({"pixels": {"max_batch_size": batch}, "bytes": {}}):
        for key in keys(30):
            refused.upload(key, b"no image")
        refused.wait_until_empty()
        refused.upload("refused.jpg")
        refused.wait_until_empty()
        for key in keys(30, "later"):
            refused.upload(key, b"no image")
        refused.wait_until_empty()
    counts = {"unsupported_format": 60, "succeeded": 60, "access_denied": 2}
    assert recorded(logged) == counts
    assert not any(entry["event"] == "receiving_paused" for entry in logged)


def test_a_route_that_is_refused_one_object_asks_for_others(
    refused: Rig, logged: list[Any]
) -> None:
    refused.upload("refused.jpg")
    with refused.running({"echo": {}}, routes={"echo": {"content_type": ["image/*"]}}):
        eventually(lambda: any(entry["event"] == "receiving_paused" for entry in logged))
        for key in keys(3):
            refused.upload(key, ContentType="image/png")
        refused.upload("text", ContentType="text/plain")
        refused.wait_until_empty()
    assert recorded(logged) == {"access_denied": 1, "succeeded": 3}


def test_rights_that_are_lost_burn_no_image_and_come_back(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    monkeypatch.setattr(retry_policy, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr("retinue_workers.limits.receive_gate.PROBE_SECONDS", 0.1)

    def refuse(*_: object) -> None:
        raise client_error("AccessDenied", 403)

    with memory_rig.running({"bytes": {}}) as worker:
        for key in keys(10):
            memory_rig.upload(key)
        memory_rig.wait_until_empty()
        memory_rig.s3.fault = refuse
        for key in keys(400, "late"):
            memory_rig.upload(key)
        eventually(lambda: "S3 refuses" in worker.worker.liveness.state()[1])
        asked = len(memory_rig.s3.gets)
        eventually(lambda: len(memory_rig.s3.gets) > asked + 500)
        assert recorded(logged) == {"succeeded": 10}
        memory_rig.s3.fault = None
        memory_rig.wait_until_empty()
    assert recorded(logged) == {"succeeded": 410}
    assert not any(line.startswith(("hide", "dead")) for line in memory_rig.queue.journal)
    assert max(entry.get("receive_count", 1) for entry in logged) == 1


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
        eventually(lambda: any(e["event"] == "receiving_paused" for e in logged))
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


def test_a_delete_that_fails_is_made_again_and_costs_no_receive(
    rig: Rig, observed: list[Run]
) -> None:
    rig.upload("a.jpg")
    rig.queue.refuse_deletes = 3
    rig.work_off({"echo": {}})
    assert rig.outcomes("echo") == ["succeeded"]
    assert len(observed) == 1
    assert not rig.queue.dead_letters()


def test_messages_that_reappear_stop_the_receiving(make_rig: MakeRig, logged: list[Any]) -> None:
    """Who may not extend a visibility timeout would receive, again and again, what it works on."""
    # Received again and again, it would be dead after six seconds. On a busy machine it may
    # reappear once, a moment before that is noticed.
    rig = make_rig(MemoryQueue(visibility_timeout_seconds=2, max_receive_count=3))
    rig.queue.refuse_extensions = 1_000
    rig.upload("a.jpg")
    settings = {"visibility_timeout_seconds": 2, "heartbeat_seconds": 0.4}
    with rig.running({"hostile-slow": {"seconds": 7.0, "max_concurrency": 2}}, **settings):
        eventually(lambda: any(e.get("cause") == "heartbeat" for e in logged))
        rig.wait_until_empty()
        eventually(lambda: any(e["event"] == "fault_cleared" for e in logged))
    assert rig.outcomes("hostile-slow") == ["succeeded"]
    assert not rig.queue.dead_letters()
