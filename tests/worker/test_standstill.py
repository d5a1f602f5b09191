"""A pool that stands still while messages wait says so."""

from typing import Any

import pytest
from fakes.queue import Clock
from fakes.rig import Rig
from fakes.waiting import eventually
from prometheus_client import CollectorRegistry
from retinue_workers.intake.errors import QueueUnavailableError
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.ops import standstill as module
from retinue_workers.ops.health import Liveness
from retinue_workers.ops.standstill import Standstill
from retinue_workers.work import QueueDepth


class Pool:
    """A queue, and what a worker holds of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.held = self.visible = 0
        self.is_away = False
        self.standstill = Standstill(lambda: self.held, self._depth, self.clock)

    def _depth(self) -> QueueDepth:
        if self.is_away:
            raise QueueUnavailableError("no route to SQS")
        return QueueDepth(self.visible, self.held)

    async def pass_time(self, seconds: float) -> float:
        """Let time pass, look, and return how long it stands still."""
        threads = DaemonThreads("standstill", 1)
        for _ in range(int(seconds / module.LOOK_SECONDS)):
            self.clock.advance(module.LOOK_SECONDS)
            await self.standstill.look(threads)
        threads.close()
        return self.standstill.seconds()


async def test_while_nothing_waits_it_does_not_stand_still() -> None:
    pool = Pool()
    assert await pool.pass_time(3_600) == 0
    pool.held = 1
    assert await pool.pass_time(60) == pytest.approx(60)


@pytest.mark.parametrize("where", ["held", "visible"])
async def test_messages_that_wait_make_it_a_standstill(where: str, logged: list[Any]) -> None:
    pool = Pool()
    setattr(pool, where, 7)
    assert pool.standstill.text() == ""
    assert await pool.pass_time(600) == 600
    assert pool.standstill.text() == "standing still for 600 s with 7 messages waiting"
    assert [entry["event"] for entry in logged] == ["standing_still"], "it is logged once"
    pool.standstill.record_progress()
    assert pool.standstill.seconds() == 0
    assert pool.standstill.text() == ""
    await pool.pass_time(600)
    assert [entry["event"] for entry in logged] == ["standing_still"] * 2


async def test_a_queue_that_cannot_be_asked_may_have_messages() -> None:
    pool = Pool()
    pool.is_away = True
    assert await pool.pass_time(600) == 600


def test_health_says_it_beside_the_cause() -> None:
    gate, clock = ReceiveGate(), Clock()
    liveness = Liveness(100, gate, clock, standstill=lambda: "standing still for 600 s")
    assert liveness.state() == (True, "healthy")
    gate.close("detector x", "stopped")
    assert liveness.state() == (
        True,
        "standing still for 600 s; waiting for detector x: stopped",
    )


def test_a_worker_that_waits_for_its_detector_says_how_long(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STANDSTILL_SECONDS", 0.3)
    not_ready = {"failing_calls": 1_000_000, "retry_after_seconds": 0.05}
    with memory_rig.running({"hostile-not-ready": not_ready}) as worker:
        registry: CollectorRegistry = worker.worker.metrics.registry
        assert registry.get_sample_value("retinue_standstill_seconds") == 0
        memory_rig.upload("a.jpg")
        eventually(lambda: (registry.get_sample_value("retinue_standstill_seconds") or 0) > 0.3)
        line = worker.worker.liveness.state()[1]
        assert line.startswith("standing still for")
        assert "waiting for detector hostile-not-ready" in line
