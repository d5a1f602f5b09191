"""The web console of a run: a process of its own, which can outlast the worker."""

import os
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from types import TracebackType
from typing import Self

from retinue_cli.local.errors import LaptopError
from retinue_cli.local.log_file import LogFile
from retinue_cli.local.processes import MARK
from retinue_cli.local.signals import Interruption
from retinue_cli.local.state import State

_FOREIGN = {
    "RETINUE_DATABASE_URL",
    "RETINUE_QUERY_DATABASE_URL",
    "RETINUE_CONSOLE_REVIEW_DATABASE_URL",
}
"""Variables that would show another history than the run's."""

_END_SECONDS = 10.0
_POLL_SECONDS = 0.2


def is_installed() -> bool:
    """Return whether the package of the console is there."""
    return find_spec("retinue_console") is not None


class ConsoleProcess:
    """A context manager: ``retinue console`` on the history under ``.retinue`` ends with the block.

    It isn't registered with the processes of a run, so that the next run doesn't end it. It ends
    with its standard input, and so with this process, however that ends.

    Args:
        state: Folder of its log.
    """

    def __init__(self, state: State) -> None:
        self._log = LogFile(state.logs / "console.log")
        self._mark = str(state.directory)
        self._process: subprocess.Popen[bytes] | None = None
        self._announcement: str | None = None

    def __enter__(self) -> Self:
        """Start nothing: there is no history to show so far."""
        return self

    def start(self) -> None:
        """Start it.

        Raises:
            LaptopError: It cannot be started.
        """
        self._log.begin()
        environment = {name: each for name, each in os.environ.items() if name not in _FOREIGN}
        environment[MARK] = self._mark
        try:
            with self._log.path.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "retinue_cli", "console", "--with-parent"],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is for the run, which then ends it
                )
        except OSError as error:
            raise LaptopError(f"cannot start the console: {error}") from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it."""
        if self._process is None:
            return
        self.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def terminate(self) -> None:
        """Have it end, without waiting for it."""
        if self._process is not None:
            self._process.terminate()

    @property
    def address(self) -> str | None:
        """Return the line with its address; ``None`` if it isn't running."""
        is_running = self._process is not None and self._process.poll() is None
        return self._announcement if is_running else None

    def announcement(self) -> str:
        """Wait for the line that names its address.

        Raises:
            LaptopError: It ended; the message has the end of its log.
        """
        line = b""
        if self._process is not None and self._process.stdout is not None:
            line = self._process.stdout.readline()
        if not line:
            raise LaptopError(f"the console didn't start. The end of its log:\n{self._log.tail()}")
        self._announcement = line.decode(errors="replace").strip()
        return self._announcement

    def wait(self, interruption: Interruption) -> None:
        """Wait until it ends, or until an interruption. A console that wasn't started has ended.

        Raises:
            KeyboardInterrupt: The run was interrupted.
        """
        while self._process is not None and self._process.poll() is None:
            interruption.check()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_POLL_SECONDS)
