"""Messages at work stay hidden, whatever happens to single beats."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakes.queue import MemoryQueue
from fakes.waiting import eventually
from retinue_workers.intake.heartbeat import Heartbeat
from retinue_workers.intake.in_flight import InFlight
from retinue_workers.intake.sqs import Queue
from retinue_workers.limits.receive_gate import CircuitBreaker


@pytest.fixture
def beat() -> Iterator[Callable[..., Heartbeat]]:
    made: list[Heartbeat] = []

    def start(queue: Queue, flight: InFlight, interval: float = 0.05) -> Heartbeat:
        made.append(
            Heartbeat(
                queue,
                flight,
                CircuitBreaker(),
                interval_seconds=interval,
                visibility_timeout_seconds=90,
            )
        )
        made[-1].start()
        return made[-1]

    yield start
    for heartbeat in made:
        heartbeat.stop()


def received(number: int) -> tuple[MemoryQueue, InFlight]:
    queue, flight = MemoryQueue(), InFlight(100)
    for index in range(number):
        queue.send(str(index))
    while len(flight) < number:
        flight.add(queue.receive(10))
    return queue, flight


def test_messages_are_extended_again_and_again(beat: Callable[..., Heartbeat]) -> None:
    queue, flight = received(12)
    beat(queue, flight)
    eventually(lambda: queue.journal.count("hide message-12 90") >= 3)
    assert queue.hidden() == 12


def test_young_messages_are_left_alone(beat: Callable[..., Heartbeat]) -> None:
    queue, flight = received(1)
    heartbeat = beat(queue, flight, interval=0.2)
    eventually(lambda: queue.journal)
    heartbeat.stop()
    assert len(queue.journal) == 1


def test_nothing_in_flight_costs_no_call(beat: Callable[..., Heartbeat]) -> None:
    class Untouchable(MemoryQueue):
        def change_visibility(self, messages: Any, seconds: int) -> None:
            raise AssertionError("called for nothing")

    flight = InFlight(10)
    heartbeat = beat(Untouchable(), flight, interval=0.02)
    flight.wait_for_room(11, 0.1)
    heartbeat.stop()


@pytest.mark.parametrize("bug", [False, True])
def test_a_beat_that_fails_is_made_up_for_by_the_next(
    beat: Callable[..., Heartbeat],
    logged: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    bug: bool,
) -> None:
    queue, flight = received(1)
    if bug:
        real, calls = queue.change_visibility, iter(range(3))

        def fail(messages: Any, seconds: int) -> None:
            if next(calls, None) is not None:
                raise RuntimeError("a bug")
            real(messages, seconds)

        monkeypatch.setattr(queue, "change_visibility", fail)
    else:
        queue.unavailable = "away"
    beat(queue, flight, interval=0.02)
    eventually(lambda: sum(e["event"] == "heartbeat_failed" for e in logged) >= 2)
    queue.unavailable = None
    eventually(lambda: queue.journal)


def test_a_message_whose_handle_expired_keeps_nobody_from_theirs(
    beat: Callable[..., Heartbeat],
) -> None:
    queue, flight = received(2)
    queue.reappear()
    (again, _) = queue.receive(10)
    flight.add([again])
    beat(queue, flight)
    eventually(lambda: f"hide {again.message_id} 90" in queue.journal)


def test_it_can_stop_without_having_begun() -> None:
    queue, flight = received(0)
    Heartbeat(
        queue, flight, CircuitBreaker(), interval_seconds=1, visibility_timeout_seconds=10
    ).stop()
