"""Observers are told of every run in order, and can stop nothing."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from fakes.waiting import settle, until
from fakes.work import reference, run
from retinue_history import DetectionRecord
from retinue_sdk import BoundingBox, Run
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.recording import observers as observers_module
from retinue_workers.recording.observers import Observers, as_run


class Calling(Plugins):
    """Plugins whose one observer is a function."""

    def __init__(self, tell: Callable[[Run], object]) -> None:
        super().__init__(())
        self.notify = tell


def runs(number: int) -> list[Run]:
    return [as_run(run(f"{index}.jpg"), reference(f"{index}.jpg")) for index in range(number)]


def test_a_record_becomes_a_run_of_the_sdk() -> None:
    about = reference()
    found = DetectionRecord("face", "Ann", 0.5, (0.1, 0.2, 0.3, 0.4), '{"age":5}')
    seen = as_run(replace(run(), detections=(found,)), about)
    assert seen.succeeded
    assert seen.image is about
    (detection,) = seen.detections
    assert detection.box == BoundingBox(0.1, 0.2, 0.3, 0.4)
    assert detection.attributes == {"age": 5}
    failed = as_run(run(outcome="failed"), about)
    assert not failed.succeeded
    assert failed.error_code == "broken"


async def test_all_are_told_in_order_before_the_end() -> None:
    told: list[Run] = []
    observers = Observers(Calling(told.append))
    telling = asyncio.create_task(observers.run())
    those = runs(100)
    for one in those:
        await observers.put(one)
    await observers.drain(10)
    telling.cancel()
    assert told == those


async def test_slow_observers_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers_module, "QUEUE_SIZE", 2)
    told: list[Run] = []
    room = threading.Semaphore(0)

    def tell(one: Run) -> None:
        room.acquire(timeout=10)
        told.append(one)

    observers = Observers(Calling(tell))
    telling = asyncio.create_task(observers.run())
    put: list[Run] = []

    async def put_all() -> None:
        for one in runs(10):
            await observers.put(one)
            put.append(one)

    putting = asyncio.create_task(put_all())
    await until(lambda: len(put) == 3)
    await settle()
    assert len(put) == 3, "one that is told and two that wait"
    room.release(10)
    await putting
    await observers.drain(10)
    telling.cancel()
    assert told == put


async def test_observers_that_hang_are_left_behind_and_caught_up_with(
    monkeypatch: pytest.MonkeyPatch, logged: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(observers_module, "QUEUE_SIZE", 2)
    monkeypatch.setattr(observers_module, "FULL_SECONDS", 0.2)
    told: list[Run] = []
    gate = threading.Event()

    def tell(one: Run) -> None:
        gate.wait(20)
        told.append(one)

    observers = Observers(Calling(tell))
    telling = asyncio.create_task(observers.run())
    began = time.monotonic()
    for one in runs(50):
        await observers.put(one)
    assert time.monotonic() - began < 3
    assert [entry["event"] for entry in logged] == ["observer_queue_full"], "it waits only once"
    gate.set()
    await until(lambda: len(told) == 3)  # one in hand, two that waited
    await observers.put(runs(1)[0])
    await observers.drain(10)
    telling.cancel()
    assert len(told) == 4
    assert len(logged) == 1


async def test_the_end_does_not_wait_for_those_that_hang(logged: list[dict[str, Any]]) -> None:
    gate = threading.Event()
    observers = Observers(Calling(lambda _: gate.wait(20)))
    telling = asyncio.create_task(observers.run())
    for one in runs(3):
        await observers.put(one)
    await observers.drain(0.05)
    assert logged[-1]["event"] == "observer_queue_full"
    telling.cancel()
    gate.set()


def test_a_plugin_that_has_nothing_to_do_is_told_of_no_run() -> None:
    idle = Plugins((EntryPoint("eventbridge", "retinue_eventbridge.plugin", "retinue"),))
    idle.starting({})
    assert not Observers(idle).has_observers
    fakes = Plugins((EntryPoint("fakes", "fakes.plugin", "retinue"),))
    fakes.starting({})
    assert Observers(fakes).has_observers
