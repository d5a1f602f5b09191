"""Closed while all is well; open while anything is broken; and everybody goes home at the end."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fakes.waiting import eventually
from retinue_workers.limits.receive_gate import CircuitBreaker


def test_it_is_open_as_long_as_there_is_a_cause() -> None:
    breaker = CircuitBreaker()
    assert breaker.wait_closed()
    breaker.trip("a", "broken")
    breaker.trip("b", "broken too")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(breaker.wait_closed)
        breaker.reset("a")
        assert breaker.causes() == {"b": "broken too"}
        assert not waiting.done()
        breaker.reset("b")
        assert waiting.result(10)
    assert breaker.causes() == {}


def test_shutting_down_lets_everybody_go() -> None:
    breaker = CircuitBreaker()
    breaker.trip("a", "broken")
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(breaker.wait_closed) for _ in range(3)]
        breaker.shut_down()
        assert [one.result(10) for one in waiting] == [False] * 3
    breaker.reset("a")
    assert not breaker.wait_closed()


def test_it_says_why_once_and_when_it_is_over(logged: list[dict[str, Any]]) -> None:
    breaker = CircuitBreaker()
    for _ in range(3):
        breaker.trip("history", "away")
    breaker.trip("history", "still away, otherwise")
    breaker.reset("history")
    breaker.reset("history")
    breaker.reset("never tripped")
    assert [entry["event"] for entry in logged] == [
        "receiving_stopped",
        "receiving_stopped",
        "fault_ended",
    ]
    assert logged[0]["reason"] == "away"
    assert logged[2]["receiving"] is True


def test_many_threads_leave_it_closed() -> None:
    breaker = CircuitBreaker()

    def bother(name: str) -> None:
        for number in range(200):
            breaker.trip(name, str(number % 3))
            breaker.reset(name)

    threads = [threading.Thread(target=bother, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    eventually(breaker.wait_closed)
    assert breaker.causes() == {}
