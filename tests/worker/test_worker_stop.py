"""Stopping gracefully."""

import asyncio
import threading
import time
from typing import Any

import pytest
from fakes import plugin
from fakes.history import MemoryHistory
from fakes.plugin import Gate, LeavesAtStart
from fakes.queue import MemoryQueue
from fakes.rig import MakeRig, Rig, keys
from fakes.waiting import eventually
from retinue_sdk import Run


def gate_of(rig: Rig) -> Gate:
    (gate,) = (detector for detector in rig.detectors if isinstance(detector, Gate))
    return gate


def test_a_stop_lets_running_calls_finish_and_requeues_the_rest_immediately(rig: Rig) -> None:
    for key in keys(12):
        rig.upload(key)
    worker = rig.worker({"gate": {}, "echo": {}})
    worker.start()
    gate = gate_of(rig)
    assert gate.entered.wait(10)
    eventually(lambda: rig.queue.hidden() == 12)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    # Requeued while the call still runs.
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
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    """A long poll cannot be interrupted; what it brings after the stop is not ours any more."""
    queue = memory_rig.queue
    polling, receive = threading.Event(), queue.receive
    release = threading.Event()

    async def slow_receive(limit: int) -> Any:
        polling.set()
        while not release.is_set():
            await asyncio.sleep(0.01)
        return await receive(limit)

    monkeypatch.setattr(queue, "receive", slow_receive)
    worker = memory_rig.worker({"echo": {}, "pixels": {}})
    worker.start()
    assert polling.wait(10)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    eventually(lambda: any(entry["event"] == "stopping" for entry in logged))
    memory_rig.upload("a.jpg")
    release.set()
    stopping.join(10)
    assert queue.hidden() == 0
    assert queue.visible() == 1
    assert isinstance(memory_rig.history, MemoryHistory)
    assert memory_rig.history.runs == []


def test_a_stop_while_images_load_hands_all_back(memory_rig: Rig, logged: list[Any]) -> None:
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
    eventually(lambda: any(entry["event"] == "stopping" for entry in logged))
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


def test_a_stop_while_the_database_hangs_hands_all_back(memory_rig: Rig) -> None:
    """A frozen server neither answers nor breaks the connection; who is asked waits for ever."""
    history, release = memory_rig.history, threading.Event()
    assert isinstance(history, MemoryHistory)
    for key in keys(25):
        memory_rig.upload(key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retinue_workers.worker.COMMIT_SECONDS", 0.3)
        patch.setattr(history, "record", lambda *_: release.wait(60))
        with memory_rig.running({"echo": {}}):
            eventually(lambda: memory_rig.queue.hidden() == 25)
            patch.setattr(history, "done_and_erased", lambda *_: release.wait(60))
            memory_rig.upload("one-more.jpg")
            eventually(lambda: memory_rig.queue.hidden() == 26)
    assert memory_rig.queue.visible() == 26
    release.set()


def test_a_stop_ends_while_every_thread_of_the_history_hangs(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    """Hooks at the stop have a thread of their own, so they do not wait for the database."""
    asked, release = threading.Event(), threading.Event()

    def hang(*_: object) -> tuple[set[object], set[object]]:
        asked.set()
        release.wait(60)
        return set(), set()

    monkeypatch.setattr("retinue_workers.worker.HISTORY_THREADS", 1)
    monkeypatch.setattr(memory_rig.history, "done_and_erased", hang)
    worker = memory_rig.worker({"echo": {}})
    worker.start()
    memory_rig.upload("a.jpg")
    assert asked.wait(10)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    stopping.join(10)
    has_stopped = not stopping.is_alive()
    release.set()
    stopping.join(10)
    assert has_stopped
    assert logged[-1]["event"] == "stopped"


def test_a_detector_that_hangs_in_close_keeps_nobody_from_their_commit(
    memory_rig: Rig, logged: list[Any]
) -> None:
    release = threading.Event()
    memory_rig.upload("a.jpg")
    worker = memory_rig.worker({"echo": {}})
    worker.start()
    memory_rig.detectors[0].close = lambda: release.wait(20)  # type: ignore[method-assign]
    memory_rig.wait_until_empty()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retinue_workers.detectors.runner.CLOSE_SECONDS", 0.1)
        worker.stop()
    assert any(entry["event"] == "detector_close_timed_out" for entry in logged)
    assert logged[-1]["event"] == "stopped"
    release.set()


def test_a_stop_while_a_detector_starts_does_not_close_it_underneath(
    memory_rig: Rig, logged: list[Any]
) -> None:
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
    eventually(lambda: any(entry["event"] == "stopping" for entry in logged))
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


def test_observers_are_told_of_runs_that_wait_when_the_worker_stops(
    memory_rig: Rig, observed: list[Run]
) -> None:
    worker = memory_rig.worker({"echo": {}})
    worker.start()
    plugin.observer_gate.clear()
    for key in keys(5):
        memory_rig.upload(key)
    eventually(lambda: not memory_rig.queue.visible() and not memory_rig.queue.hidden())
    release = threading.Timer(0.3, plugin.observer_gate.set)
    release.start()
    worker.stop()
    release.join()
    assert len(observed) == 5
