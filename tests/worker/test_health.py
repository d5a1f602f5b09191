"""A worker that stands still is not well; one that waits for something says for what."""

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
from retinue_workers.ops.health import HealthServer, Pulse, ask


@contextmanager
def served(pulse: Pulse) -> Iterator[int]:
    server = HealthServer(0, pulse.state, lambda: b"retinue_runs_total 1\n")
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


def test_a_worker_that_stands_still_is_stuck() -> None:
    clock, causes = Clock(), dict[str, str]()
    pulse = Pulse(100, lambda: causes, clock)
    clock.advance(100)
    assert pulse.state() == (True, "well")
    clock.advance(1)
    assert pulse.state() == (False, "stuck: nothing received or done for 101 s")
    pulse.beat()
    assert pulse.state() == (True, "well")
    causes["history"] = "it is away"
    clock.advance(1_000)
    assert pulse.state() == (True, "waits for history: it is away")
    causes.clear()  # it works again: now it may take its time
    clock.advance(99)
    assert pulse.state() == (True, "well")


@pytest.mark.parametrize("loop", ["record", "done"])
def test_a_loop_that_is_stuck_fails_the_check_of_its_worker(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    """The thread that commits, or the one that receives, waits for an answer that never comes."""
    monkeypatch.setattr("retinue_workers.worker.STUCK_SECONDS", 0.5)
    monkeypatch.setattr("retinue_workers.worker.COMMIT_SECONDS", 0.1)
    release, stuck = threading.Event(), threading.Event()
    real = getattr(memory_rig.history, loop)

    def stick(*arguments: Any) -> Any:
        stuck.set()
        release.wait(30)
        return real(*arguments)

    quick = {"detector_timeout_seconds": 0.3, "retry_window_seconds": 0.1}
    with memory_rig.running({"echo": {}}, **quick) as worker, served(worker.pulse) as port:
        memory_rig.upload("a.jpg")
        memory_rig.wait_until_empty()
        assert ask(port) == (True, "well")
        monkeypatch.setattr(memory_rig.history, loop, stick)
        memory_rig.upload("b.jpg")
        assert stuck.wait(10)
        eventually(lambda: ask(port)[1].startswith("stuck"), what="the check fails")
        assert not ask(port)[0]
        release.set()
        eventually(lambda: ask(port) == (True, "well"), what="the check is well again")
    assert memory_rig.queue.empty()


def test_it_is_asked_over_http() -> None:
    clock = Clock()
    with served(Pulse(10, dict, clock)) as port:
        assert ask(port) == (True, "well")
        clock.advance(11)
        well, words = ask(port)
        assert not well
        assert words.startswith("stuck")
        from urllib.request import urlopen

        with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.read() == b"retinue_runs_total 1\n"
    well, words = ask(port)
    assert not well
    assert f"no answer on port {port}" in words


def test_the_container_asks_by_a_command() -> None:
    clock = Clock()
    with served(Pulse(10, dict, clock)) as port:
        command = [sys.executable, "-m", "retinue_workers.ops.health", str(port)]
        assert subprocess.run(command, check=True, capture_output=True).stdout == b"well\n"
        clock.advance(11)
        assert subprocess.run(command, check=False, capture_output=True).returncode == 1
