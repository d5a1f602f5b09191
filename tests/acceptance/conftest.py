"""Fixtures of the acceptance tests."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from acceptance.command_line import CommandLine
from click.testing import CliRunner, Result
from retinue_cli.app import retinue as command
from retinue_cli.local import EmbeddedPostgres, State
from retinue_history.schema.migrate import upgrade


@pytest.fixture
def retinue(tmp_path: Path) -> Iterator[CommandLine]:
    command_line = CommandLine(tmp_path)
    yield command_line
    command_line.close()


@pytest.fixture
def invoke(retinue: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs ``retinue`` in this process, for what another need not show: a second less each."""

    def call(*arguments: str, check: bool = True, **extra: str) -> Result:
        with monkeypatch.context() as patch:
            environment = retinue.environment(**extra)
            for name in set(os.environ) - environment.keys():
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.chdir(retinue.folder)
            done = CliRunner().invoke(command, list(arguments))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert not check or done.exit_code == 0, done.output
        return done

    return call


@pytest.fixture(scope="session")
def new_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory to copy: making one takes as long as the rest of a run."""
    state = State(tmp_path_factory.mktemp("history") / ".retinue")
    with EmbeddedPostgres(state) as postgres:
        upgrade(postgres.url())
    return state.postgres / "data"


@pytest.fixture
def history(tmp_path: Path, new_history: Path) -> None:
    """Return an empty history in the command line's folder, as an earlier run leaves it."""
    state = State(tmp_path / ".retinue")
    state.prepare()
    # `cp -p`, as shutil's copies would belong to root when root runs the tests.
    subprocess.run(["cp", "-Rp", new_history, state.postgres], check=True)


@pytest.fixture
def running_history(tmp_path: Path, history: None) -> Iterator[None]:
    """Keep the history's server up between commands, which would start and stop one each."""
    with EmbeddedPostgres(State(tmp_path / ".retinue")):
        yield


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    def wait(happened: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.02)

    return wait
