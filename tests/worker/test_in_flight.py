"""Counting messages: no more than fit, and which need a heartbeat."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes.deliveries import message
from retinue_workers.intake.in_flight import InFlight
from retinue_workers.work import Message


class Time:
    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr("retinue_workers.intake.in_flight.time", clock)
    return clock


def test_there_is_room_until_it_is_full() -> None:
    flight = InFlight(12)
    flight.add([message() for _ in range(2)])
    assert flight.wait_for_room(10, 0)
    flight.add([message()])
    assert not flight.wait_for_room(10, 0)
    assert len(flight) == 3


def test_room_comes_when_messages_go() -> None:
    flight = InFlight(10)
    messages = [message() for _ in range(10)]
    flight.add(messages)
    with ThreadPoolExecutor() as pool:
        room = pool.submit(flight.wait_for_room, 10, 20)
        empty = pool.submit(flight.wait_until_empty, 20)
        flight.remove(messages[:5])
        assert not room.done()
        flight.remove(messages[5:])
        assert room.result(10)
        assert empty.result(10)


def test_removing_what_is_not_there_is_no_error() -> None:
    flight = InFlight(10)
    flight.remove([message()])
    assert not flight.wait_until_empty(0) or len(flight) == 0


def test_a_message_needs_a_heartbeat_after_a_while(clock: Time) -> None:
    flight = InFlight(10)
    old, young = message(), message()
    flight.add([old])
    clock.now += 10
    flight.add([young])
    assert flight.older_than(10) == [old]
    flight.extended([old, message()], clock.now)  # the other is gone meanwhile
    assert len(flight) == 2
    assert flight.older_than(1) == []
    clock.now += 10
    assert set(flight.older_than(10)) == {old, young}


def test_two_receives_of_one_message_are_two() -> None:
    """The visibility timeout ran out: another handle, and the old one is worth nothing."""
    flight = InFlight(10)
    first = Message("m", "m#1", "x", 1)
    second = Message("m", "m#2", "x", 2)
    flight.add([first, second])
    flight.remove([first])
    assert flight.older_than(-1) == [second]


def test_many_threads_count_right() -> None:
    flight = InFlight(10_000)

    def bother() -> None:
        for _ in range(200):
            some = [message() for _ in range(3)]
            flight.add(some)
            flight.older_than(0)
            flight.remove(some)

    threads = [threading.Thread(target=bother) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(flight) == 0
    assert flight.wait_until_empty(0)
