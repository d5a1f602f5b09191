"""Real services for the tests of the laptop; nothing here is simulated."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from retinue_cli.local import State


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Yield a temporary folder whose path is short enough for a socket, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="rt-"))
    yield folder.resolve()
    shutil.rmtree(folder)


@pytest.fixture
def state(short_path: Path) -> State:
    return State(short_path / ".retinue")


@pytest.fixture
def script() -> Callable[[Path, str], AbstractContextManager["Script"]]:
    """Runs Python as a process of its own, to be killed or to work beside the test."""
    return _script


_PRELUDE = """
import sys, time
from pathlib import Path
from retinue_cli.local import EmbeddedPostgres, Emulator, LaptopError, Processes, State
state = State(Path(sys.argv[1]))
def say(what):
    print(what, flush=True)
"""


@contextmanager
def _script(directory: Path, code: str) -> Iterator["Script"]:
    process = subprocess.Popen(
        [sys.executable, "-c", _PRELUDE + code, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Script(process)
        finally:
            process.kill()


class Script:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def hear(self) -> str:
        """Return the next line that it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        """Let its next `input()` return."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
