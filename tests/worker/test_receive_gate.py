"""Open while all is well; closed, with the reasons, while anything is broken."""

import asyncio
from typing import Any

from fakes.waiting import settle
from retinue_workers.limits.receive_gate import ReceiveGate


async def test_it_is_closed_as_long_as_there_is_a_cause() -> None:
    gate = ReceiveGate()
    await gate.wait_open()
    gate.close("a", "broken")
    gate.close("b", "broken too")
    waiting = [asyncio.create_task(gate.wait_open()) for _ in range(3)]
    gate.open("a")
    await settle()
    assert gate.reasons() == {"b": "broken too"}
    assert not any(one.done() for one in waiting)
    gate.open("b")
    await asyncio.gather(*waiting)
    assert gate.reasons() == {}


async def test_closed_again_before_the_waiting_ones_look_it_lets_them_pass_or_wait() -> None:
    """Either is fine; what must not happen is that one of them waits after it is open."""
    gate = ReceiveGate()
    gate.close("a", "broken")
    waiting = asyncio.create_task(gate.wait_open())
    await settle()
    gate.open("a")
    gate.close("a", "broken again")
    gate.open("a")
    await asyncio.wait_for(waiting, 5)


def test_it_says_why_once_and_when_it_is_over(logged: list[dict[str, Any]]) -> None:
    gate = ReceiveGate()
    for _ in range(3):
        gate.close("history", "away")
    gate.close("history", "still away, otherwise")
    gate.close("queue", "away")
    gate.open("history")
    gate.open("history")
    gate.open("never closed")
    gate.open("queue")
    assert [(entry["event"], entry["cause"]) for entry in logged] == [
        ("receiving_paused", "history"),
        ("receiving_paused", "history"),
        ("receiving_paused", "queue"),
        ("fault_cleared", "history"),
        ("fault_cleared", "queue"),
    ]
    assert [entry.get("receiving") for entry in logged[3:]] == [False, True]
    assert logged[0]["reason"] == "away"


def test_the_reasons_are_a_copy() -> None:
    gate = ReceiveGate()
    reasons = gate.reasons()
    gate.close("a", "broken")
    assert reasons == {}
