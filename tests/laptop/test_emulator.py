import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest
from retinue_cli.local import Emulator, LaptopError, Processes, State, emulator
from retinue_cli.local import emulator_environment as module
from retinue_cli.local.emulator_environment import EmulatorEnvironment

Start = Callable[[Path, str], AbstractContextManager[Any]]

RUN = """
with Emulator(state) as emulator:
    say(emulator.endpoint.url)
    input()"""


def test_it_answers_on_this_machine_alone_and_stops(
    state: State, emulator_environment: EmulatorEnvironment
) -> None:
    service = Emulator(state, environment=emulator_environment)
    with pytest.raises(RuntimeError, match="inside"):
        _ = service.endpoint
    with service:
        service.endpoint.check()
        assert service.running()
        process = service._process
        assert process is not None
        listening = [
            c
            for c in psutil.Process(process.pid).net_connections()
            if c.status == psutil.CONN_LISTEN
        ]
        assert {c.laddr.ip for c in listening} == {"127.0.0.1"}
        assert len(listening) == 1
    assert not service.running()
    assert service.stop() is None
    assert process.poll() is not None
    assert state.processes.read_text() == "[]"


def test_after_a_kill_the_next_run_ends_the_old_emulator(
    state: State, script: Start, emulator_environment: EmulatorEnvironment
) -> None:
    with script(state.directory, RUN) as run:
        url = run.hear()
        assert url.startswith("http://127.0.0.1:")
        run.kill()
    assert Processes(state).end_leftovers() == ["the AWS emulator"]
    port = int(url.rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_taken_meanwhile_is_exchanged_for_another(
    state: State, emulator_environment: EmulatorEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as thief:
        ports = iter([thief.getsockname()[1], emulator._free_port()])
        monkeypatch.setattr(emulator, "_free_port", lambda: next(ports))
        with Emulator(state, environment=emulator_environment) as service:
            service.endpoint.check()
        assert next(ports, None) is None


def test_one_that_dies_shows_its_log(state: State, tmp_path: Path) -> None:
    environment = EmulatorEnvironment(tmp_path)
    environment.python.parent.mkdir(parents=True)
    environment.python.write_text("#!/bin/sh\necho some terrible failure\nexit 3\n")
    environment.python.chmod(0o755)
    with pytest.raises(LaptopError, match=r"exit code 3(.|\n)*terrible failure(.|\n)*remove"):
        Emulator(state, environment=environment).__enter__()


@pytest.mark.usefixtures("emulator_environment")  # says whether it can be had, and fills uv's cache
def test_an_installation_killed_midway_is_not_trusted(tmp_path: Path, script: Start) -> None:
    install = f"""
from retinue_cli.local.emulator_environment import EmulatorEnvironment
EmulatorEnvironment(Path({str(tmp_path)!r})).ensure(lambda: say('installing'))"""
    with script(tmp_path, install) as run:
        assert run.hear() == "installing"
        deadline = time.monotonic() + 10
        while not list(tmp_path.glob(".draft-*/environment/bin")):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        run.kill()
    environment = EmulatorEnvironment(tmp_path)
    assert not environment.directory.exists()
    calls: list[int] = []
    with Emulator(State(tmp_path / ".retinue"), environment=environment) as service:
        service.endpoint.check()
    assert not list(tmp_path.glob(".draft-*"))
    environment.ensure(lambda: calls.append(1))
    assert not calls  # nothing to install the second time


def test_without_network_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    environment = EmulatorEnvironment(tmp_path)
    with pytest.raises(LaptopError, match=r"cannot be installed(.|\n)*connect to the network"):
        environment.ensure()
    assert not environment.directory.exists()
    assert not list(tmp_path.glob(".draft-*"))


def test_an_environment_whose_python_was_removed_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = EmulatorEnvironment(tmp_path)
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to("/no/such/python")
    commands: list[tuple[object, ...]] = []

    def uv(self: EmulatorEnvironment, *arguments: str | Path) -> None:
        commands.append(arguments)
        if arguments[0] == "venv":
            python = Path(arguments[-1]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.symlink_to(sys.executable)

    monkeypatch.setattr(EmulatorEnvironment, "_uv", uv)
    assert os.access(environment.ensure(), os.X_OK)
    assert [command[0] for command in commands] == ["venv", "pip"]
    assert f"ministack=={module.VERSION} " in module.REQUIREMENTS.read_text()
