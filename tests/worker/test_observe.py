"""Observers hear of every run, and can stop nobody."""

import threading
from typing import Any

import pytest
from fakes.deliveries import run
from fakes.waiting import eventually
from retinue_history import DetectionRecord
from retinue_sdk import BoundingBox, ImageReference, Run
from retinue_workers.recording.observers import Observers, as_run

REFERENCE = ImageReference("photos", "a.jpg", etag="e")


def test_a_record_becomes_a_run_of_the_sdk() -> None:
    from dataclasses import replace

    found = DetectionRecord("face", "Ann", 0.5, (0.1, 0.2, 0.3, 0.4), {"age": 5})
    seen = as_run(replace(run(), detections=(found,)), REFERENCE)
    assert seen.succeeded
    assert seen.image is REFERENCE
    (detection,) = seen.detections
    assert detection.box == BoundingBox(0.1, 0.2, 0.3, 0.4)
    assert detection.attributes == {"age": 5}
    failed = as_run(run(outcome="failed"), REFERENCE)
    assert not failed.succeeded
    assert failed.error_code == "broken"


def runs(number: int) -> list[Run]:
    return [as_run(run(), REFERENCE) for _ in range(number)]


def test_all_are_told_in_order_before_it_stops() -> None:
    told: list[Run] = []
    observers = Observers(told.append)
    observers.start()
    those = runs(100)
    for one in those:
        observers.put(one)
    observers.stop(10)
    assert [id(one) for one in told] == [id(one) for one in those]


def test_slow_observers_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinue_workers.recording.observers.MOST_WAITING", 2)
    told: list[Run] = []
    room = threading.Semaphore(0)

    def tell(one: Run) -> None:
        room.acquire(timeout=10)
        told.append(one)

    observers = Observers(tell)
    observers.start()

    def put_all() -> None:
        for one in runs(10):
            observers.put(one)

    putting = threading.Thread(target=put_all)
    putting.start()
    eventually(lambda: observers._waiting.full())
    assert putting.is_alive()
    room.release(10)
    putting.join(10)
    observers.stop(10)
    assert len(told) == 10


def test_observers_that_hang_are_left_behind_and_caught_up_with(
    monkeypatch: pytest.MonkeyPatch, logged: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr("retinue_workers.recording.observers.MOST_WAITING", 2)
    monkeypatch.setattr("retinue_workers.recording.observers.PATIENCE_SECONDS", 0.05)
    told: list[Run] = []
    gate = threading.Event()

    def tell(one: Run) -> None:
        gate.wait(20)
        told.append(one)

    observers = Observers(tell)
    observers.start()
    for one in runs(50):
        observers.put(one)
    assert [entry["event"] for entry in logged] == ["observers_left_behind"]
    gate.set()
    eventually(lambda: len(told) == 3)  # one in hand, two that waited
    observers.put(runs(1)[0])
    observers.stop(10)
    assert len(told) == 4


def test_a_stop_does_not_wait_for_those_that_hang(logged: list[dict[str, Any]]) -> None:
    gate = threading.Event()

    def hang(_: Run) -> None:
        gate.wait(20)

    observers = Observers(hang)
    observers.start()
    for one in runs(3):
        observers.put(one)
    observers.stop(0.05)
    assert logged[-1]["event"] == "observers_left_behind"
    gate.set()
    eventually(lambda: not observers._thread.is_alive())


def test_it_can_stop_without_having_begun() -> None:
    Observers(lambda _: None).stop(1)


def test_a_plugin_that_has_nothing_to_do_is_told_of_no_run() -> None:
    from importlib.metadata import EntryPoint

    from retinue_sdk.plugins.manager import Plugins

    idle = Plugins((EntryPoint("eventbridge", "retinue_eventbridge.plugin", "retinue"),))
    idle.starting({})
    assert not idle.observed
    fakes = Plugins((EntryPoint("fakes", "fakes.plugin", "retinue"),))
    fakes.starting({})
    assert fakes.observed
