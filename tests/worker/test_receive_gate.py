"""Open while all is well; closed, with the reasons, while anything is broken."""

import asyncio
from typing import Any

import pytest
from fakes.waiting import settle
from retinue_workers.limits import receive_gate
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


# A gate that may be closed because of single images lets probes pass.


@pytest.fixture
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive_gate, "PROBE_SECONDS", 0.05)


async def test_now_and_then_a_probe_passes(quick_probes: None) -> None:
    gate = ReceiveGate()
    gate.close("images", "refused", probe=True)
    for _ in range(3):
        assert gate.lets_probes_pass
        await asyncio.wait_for(gate.wait_open(), 5)
    assert gate.reasons() == {"images": "refused"}


async def test_one_probe_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive_gate, "PROBE_SECONDS", 3_600)
    gate = ReceiveGate()
    await gate.wait_open()
    gate.close("images", "refused", probe=True)
    waiting = asyncio.create_task(gate.wait_open())
    await settle()
    assert not waiting.done()
    gate.open("images")
    await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize("probe_first", [True, False])
async def test_none_passes_while_something_is_broken_for_all(
    quick_probes: None, probe_first: bool
) -> None:
    gate = ReceiveGate()
    for probe in (probe_first, not probe_first):
        gate.close("images" if probe else "history", "broken", probe=probe)
    waiting = asyncio.create_task(gate.wait_open())
    await asyncio.sleep(0.2)
    assert not waiting.done()
    gate.open("history")
    await asyncio.wait_for(waiting, 5)
    assert gate.lets_probes_pass


async def test_a_cause_that_turns_out_to_be_for_all_lets_none_pass(quick_probes: None) -> None:
    gate = ReceiveGate()
    gate.close("detector", "refused", probe=True)
    gate.close("detector", "stopped")
    gate.close("detector", "refused", probe=True)
    assert not gate.lets_probes_pass
    gate.open("detector")
    gate.close("detector", "refused", probe=True)
    assert gate.lets_probes_pass
