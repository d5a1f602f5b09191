"""A worker without progress is unhealthy; one that waits for something says for what."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fakes.queue import Clock
from fakes.rig import Rig
from fakes.waiting import eventually
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.ops.health import HealthServer, Liveness, check_health


@contextmanager
def served(liveness: Liveness) -> Iterator[int]:
    server = HealthServer(0, liveness.state, lambda: b"retinue_runs_total 1\n")
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


def test_a_worker_that_makes_no_progress_is_unhealthy() -> None:
    clock, gate = Clock(), ReceiveGate()
    liveness = Liveness(100, gate, clock)
    clock.advance(100)
    assert liveness.state() == (True, "healthy")
    clock.advance(1)
    assert liveness.state() == (False, "unhealthy: nothing received or committed for 101 s")
    liveness.record_progress()
    assert liveness.state() == (True, "healthy")
    gate.close("history", "it is away")
    clock.advance(1_000)
    assert liveness.state() == (True, "waiting for history: it is away")
    gate.open("history")  # it works again: now it may take its time
    clock.advance(99)
    assert liveness.state() == (True, "healthy")


@pytest.mark.parametrize("step", ["record", "done_and_erased"])
def test_a_step_that_is_stuck_fails_the_check_of_its_worker(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A commit, or a lookup, waits for an answer of the database that never comes."""
    monkeypatch.setattr("retinue_workers.worker.STUCK_SECONDS", 0.5)
    monkeypatch.setattr("retinue_workers.worker.COMMIT_SECONDS", 0.1)
    release, stuck = threading.Event(), threading.Event()
    real = getattr(memory_rig.history, step)

    def stick(*arguments: Any) -> Any:
        stuck.set()
        release.wait(30)
        return real(*arguments)

    quick = {"detector_timeout_seconds": 0.3, "retry_window_seconds": 0.1}
    with (
        memory_rig.running({"echo": {}}, **quick) as worker,
        served(worker.worker.liveness) as port,
    ):
        memory_rig.upload("a.jpg")
        memory_rig.wait_until_empty()
        eventually(lambda: check_health(port) == (True, "healthy"), what="the check passes")
        monkeypatch.setattr(memory_rig.history, step, stick)
        memory_rig.upload("b.jpg")
        assert stuck.wait(10)
        eventually(lambda: check_health(port)[1].startswith("unhealthy"), what="the check fails")
        assert not check_health(port)[0]
        release.set()
        eventually(lambda: check_health(port) == (True, "healthy"), what="the check passes again")
    assert memory_rig.queue.empty()


def test_it_is_asked_over_http() -> None:
    clock = Clock()
    with served(Liveness(10, ReceiveGate(), clock)) as port:
        assert check_health(port) == (True, "healthy")
        clock.advance(11)
        healthy, words = check_health(port)
        assert not healthy
        assert words.startswith("unhealthy")
        from urllib.request import urlopen

        with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.read() == b"retinue_runs_total 1\n"
    healthy, words = check_health(port)
    assert not healthy
    assert f"no answer on port {port}" in words


def test_the_container_asks_by_a_command() -> None:
    clock = Clock()
    with served(Liveness(10, ReceiveGate(), clock)) as port:
        command = [sys.executable, "-m", "retinue_workers.ops.health", str(port)]
        assert subprocess.run(command, check=True, capture_output=True).stdout == b"healthy\n"
        clock.advance(11)
        assert subprocess.run(command, check=False, capture_output=True).returncode == 1
