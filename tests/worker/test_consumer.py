"""Receiving: only while the circuit is closed and there is room, and whatever breaks, on."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from fakes.queue import MemoryQueue
from fakes.waiting import eventually
from retinue_workers.intake.in_flight import InFlight
from retinue_workers.intake.receiver import Consumer
from retinue_workers.limits.receive_gate import CircuitBreaker
from retinue_workers.work import Message


class Setup:
    def __init__(self, capacity: int = 40) -> None:
        self.queue = MemoryQueue(wait_seconds=0.02)
        self.flight = InFlight(capacity)
        self.breaker = CircuitBreaker()
        self.accepted: list[Message] = []
        self.consumer = Consumer(self.queue, self.flight, self.breaker, self.accept)
        self.error: Exception | None = None

    def accept(self, messages: Sequence[Message]) -> None:
        if self.error is not None:
            raise self.error
        self.accepted.extend(messages)

    def send(self, number: int) -> None:
        for index in range(number):
            self.queue.send(str(index))


@pytest.fixture
def make() -> Iterator[Callable[..., Setup]]:
    made: list[Setup] = []

    def make(**arguments: Any) -> Setup:
        made.append(Setup(**arguments))
        return made[-1]

    yield make
    for setup in made:
        setup.consumer.stop(5)


def test_messages_are_handed_over_and_counted(make: Callable[..., Setup]) -> None:
    setup = make()
    setup.send(25)
    setup.consumer.start()
    eventually(lambda: len(setup.accepted) == 25)
    assert len(setup.flight) == 25


def test_nothing_is_received_without_room_for_ten(make: Callable[..., Setup]) -> None:
    setup = make(capacity=15)
    setup.send(30)
    setup.consumer.start()
    eventually(lambda: len(setup.accepted) == 10)
    receives = setup.queue.receives
    setup.flight.remove(setup.accepted[:4])
    assert not setup.flight.wait_for_room(10, 0.05)
    assert setup.queue.receives == receives
    setup.flight.remove(setup.accepted[4:5])
    eventually(lambda: len(setup.accepted) == 20)
    assert len(setup.flight) == 15


def test_nothing_is_received_while_the_circuit_is_open(make: Callable[..., Setup]) -> None:
    setup = make()
    setup.send(5)
    setup.breaker.trip("x", "broken")
    setup.consumer.start()
    setup.flight.wait_for_room(100, 0.05)
    assert setup.queue.receives == 0
    setup.breaker.reset("x")
    eventually(lambda: len(setup.accepted) == 5)


def test_a_queue_away_is_asked_again(
    make: Callable[..., Setup], logged: list[dict[str, Any]]
) -> None:
    setup = make()
    setup.queue.unavailable = "no route"
    setup.consumer.start()
    eventually(lambda: len(logged) >= 2)
    assert {(e["event"], e.get("reason")) for e in logged} == {("receive_failed", "no route")}
    setup.send(1)
    setup.queue.unavailable = None
    eventually(lambda: setup.accepted)


def test_a_bug_in_receive_does_not_end_it(
    make: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = make()
    setup.send(1)
    real, bugs = setup.queue.receive, iter([KeyError("Attributes"), ValueError("x")])

    def receive(limit: int) -> list[Message]:
        for bug in bugs:
            raise bug
        return real(limit)

    monkeypatch.setattr(setup.queue, "receive", receive)
    setup.consumer.start()
    eventually(lambda: setup.accepted)


def test_what_cannot_be_accepted_is_not_kept_hidden(
    make: Callable[..., Setup], logged: list[dict[str, Any]]
) -> None:
    """No heartbeat for it, so that SQS delivers it again."""
    setup = make(capacity=10)
    setup.error = RuntimeError("a bug")
    setup.send(3)
    setup.consumer.start()
    eventually(lambda: any(entry["event"] == "accept_failed" for entry in logged))
    eventually(lambda: len(setup.flight) == 0)
    setup.error = None
    setup.queue.reappear()
    eventually(lambda: len(setup.accepted) == 3)
    assert {message.receive_count for message in setup.accepted} == {2}


@pytest.mark.parametrize("away", [False, True])
def test_what_comes_after_the_stop_is_handed_back(
    make: Callable[..., Setup],
    monkeypatch: pytest.MonkeyPatch,
    logged: list[dict[str, Any]],
    away: bool,
) -> None:
    setup = make()
    polling, release, real = threading.Event(), threading.Event(), setup.queue.receive

    def receive(limit: int) -> list[Message]:
        polling.set()
        release.wait(10)
        messages = real(limit)
        setup.queue.unavailable = "away" if away else None
        return messages

    monkeypatch.setattr(setup.queue, "receive", receive)
    setup.consumer.start()
    assert polling.wait(10)
    setup.consumer.close()
    setup.send(3)
    release.set()
    setup.consumer.stop(10)
    assert setup.accepted == []
    assert len(setup.flight) == 0
    assert setup.queue.visible() == (0 if away else 3)
    assert any(entry["event"] == "not_handed_back" for entry in logged) == away


def test_a_stop_wakes_a_consumer_that_waits(make: Callable[..., Setup]) -> None:
    for number in range(3):
        setup = make(capacity=10)
        setup.send(20)
        if number == 1:
            setup.breaker.trip("x", "broken")
        if number == 2:
            setup.queue.unavailable = "away"
        setup.consumer.start()
        setup.consumer.stop(5)
        assert not setup.consumer._thread.is_alive()


def test_it_can_stop_without_having_begun(make: Callable[..., Setup]) -> None:
    make().consumer.stop(1)
