"""Fixtures of the acceptance tests."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from acceptance.command_line import CommandLine
from retinue_cli.local import EmbeddedPostgres, State
from retinue_history.schema.migrate import upgrade


@pytest.fixture
def retinue(tmp_path: Path) -> Iterator[CommandLine]:
    command_line = CommandLine(tmp_path)
    yield command_line
    command_line.close()


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
def wait_until() -> Callable[[Callable[[], bool]], None]:
    def wait(happened: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.02)

    return wait
