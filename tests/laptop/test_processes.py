import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest
from retinue_cli.local import LaptopError, Processes, State
from retinue_cli.local.processes import uninterrupted

Start = Callable[[Path, str], AbstractContextManager[Any]]

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER
PARENT = (
    "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time;"
    "time.sleep(60)']); print(p.pid, flush=True); p.wait()"
)


@pytest.fixture
def processes(state: State) -> Processes:
    state.prepare()
    return Processes(state)


def start(processes: Processes, state: State, code: str) -> tuple[subprocess.Popen[bytes], str]:
    """Return a running program and the first line it wrote."""
    log = state.logs / "test.log"
    process = processes.start("test", [sys.executable, "-c", code], environment={}, log=log)
    deadline = time.monotonic() + 10
    while not (text := log.read_text()).endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process, text.strip()


def test_a_child_is_out_of_reach_of_the_terminal(processes: Processes, state: State) -> None:
    process, _ = start(processes, state, SLEEPER)
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    assert processes.stop(process, 5) == -signal.SIGTERM
    assert json.loads(state.processes.read_text()) == []
    assert processes.stop(process, 5) == -signal.SIGTERM  # once more does no harm


def test_a_child_that_ignores_the_request_is_killed(processes: Processes, state: State) -> None:
    process, _ = start(processes, state, STUBBORN)
    assert processes.stop(process, 0.1) == -signal.SIGKILL


def test_what_a_child_started_ends_with_it(processes: Processes, state: State) -> None:
    process, grandchild = start(processes, state, PARENT)
    processes.stop(process, 5)
    assert not _alive(int(grandchild))


@pytest.mark.parametrize("leader_gone", [False, True])
def test_leftovers_of_a_killed_run_are_ended_with_all_they_started(
    script: Start, processes: Processes, state: State, leader_gone: bool
) -> None:
    killed = f"""
log = state.logs / 'left.log'
p = Processes(state).start('left', [sys.executable, '-c', {PARENT!r}], environment={{}}, log=log)
while not log.read_text().endswith('\\n'):
    time.sleep(0.01)
say(p.pid)
say(log.read_text())
input()"""
    with script(state.directory, killed) as run:
        pids = [int(run.hear()), int(run.hear())]
        run.kill()
    if leader_gone:
        os.kill(pids[0], signal.SIGKILL)
    assert processes.end_leftovers() == ["left"]
    assert not any(map(_alive, pids))
    assert processes.end_leftovers() == []


def test_a_stranger_who_was_given_the_pid_is_left_alone(processes: Processes, state: State) -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEPER], start_new_session=True) as stranger:
        entry = {"name": "old", "pid": stranger.pid, "create_time": 1.0}
        state.processes.write_text(json.dumps([entry]))
        assert processes.end_leftovers() == []
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("content", ["", "[", "{}", "[1]", '[{"pid": "x"}]', "null"])
def test_a_damaged_register_is_as_good_as_none(
    processes: Processes, state: State, content: str
) -> None:
    state.processes.write_text(content)
    assert processes.end_leftovers() == []


def test_a_missing_program_is_named(processes: Processes, state: State) -> None:
    with pytest.raises(LaptopError, match=r"cannot start the thing .*/no/such"):
        processes.start("the thing", [Path("/no/such")], environment={}, log=state.logs / "x")


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_ctrl_c_waits_until_a_child_is_registered() -> None:
    steps = []

    def start_something() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            steps.append("done")

    with pytest.raises(KeyboardInterrupt):
        start_something()
    assert steps == ["done"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
