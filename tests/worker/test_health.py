"""A worker that stands still is not well; one that waits for something says for what."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fakes.queue import Clock
from retinue_workers.health import HealthServer, Pulse, ask


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
        command = [sys.executable, "-m", "retinue_workers.health", str(port)]
        assert subprocess.run(command, check=True, capture_output=True).stdout == b"well\n"
        clock.advance(11)
        assert subprocess.run(command, check=False, capture_output=True).returncode == 1
