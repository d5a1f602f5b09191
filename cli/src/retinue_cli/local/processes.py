"""Child processes that end with their run, or with the next run after a ``kill -9``."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil

from retinue_cli.local.errors import LaptopError
from retinue_cli.local.state import State

MARK = "_RETINUE_LAPTOP"
"""Environment variable that marks a register's processes and their children."""

# The system derives the time from its clock, which a time server may adjust.
_TOLERANCE_SECONDS = 2.0
_POLL_SECONDS = 0.01

_LEFTOVER_SECONDS = 3.0
"""How long processes of a killed run may take to end before they are killed."""


@dataclass(frozen=True, slots=True)
class _ProcessEntry:
    """A registered process. A pid alone may belong to another process by now."""

    name: str
    pid: int
    create_time: float

    @classmethod
    def parse(cls, fields: Mapping[str, object]) -> Self:
        """Parse the fields of ``asdict``.

        Raises:
            KeyError: A field is missing.
            ValueError: A field has the wrong type.
        """
        return cls(str(fields["name"]), int(str(fields["pid"])), float(str(fields["create_time"])))

    def process(self) -> psutil.Process | None:
        """Return the running process; ``None`` if it ended or another process has its pid."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.create_time) <= _TOLERANCE_SECONDS
        except psutil.Error:
            return None
        return process if same and is_alive(process) else None


class Processes:
    """Starts child processes, each in its own session, and registers them on disk.

    Ctrl-C in the terminal reaches only the terminal's session, so the run stops the children in its
    own order. A run calls ``end_leftovers`` first, while it holds the state's lock. The register
    then contains only processes of an earlier run.

    Args:
        state: The state whose ``processes.json`` is the register.
    """

    def __init__(self, state: State) -> None:
        self._path = state.processes
        self._mark = str(state.directory)
        self._lock = threading.Lock()

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        log: Path,
        directory: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program.

        Args:
            name: Its name in messages.
            command: The program and its arguments, without a shell.
            environment: All of its environment variables.
            log: File to which its output is appended.
            directory: Its working directory. The default is the current one.

        Raises:
            LaptopError: It can't be started.
        """
        with uninterrupted():  # otherwise an unregistered child could start
            return self._start(name, command, environment, log, directory)

    def _start(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        log: Path,
        directory: Path | None,
    ) -> subprocess.Popen[bytes]:
        """Start a program and register it."""
        try:
            with log.open("ab") as output:
                process = subprocess.Popen(  # noqa: S603 - the caller's own command, no shell
                    command,
                    env={**environment, MARK: self._mark},
                    cwd=directory,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise LaptopError(f"cannot start {name} ({command[0]}): {error}") from error
        with suppress(psutil.NoSuchProcess):  # it may have ended already
            create_time = psutil.Process(process.pid).create_time()
            with self._lock:
                self._write([*self._read(), _ProcessEntry(name, process.pid, create_time)])
        return process

    def stop(self, process: subprocess.Popen[bytes], grace_seconds: float) -> int:
        """End a program and its children: SIGTERM, then SIGKILL for the rest.

        Args:
            process: The result of ``start``. It may have ended already.
            grace_seconds: How long it may take to end.

        Returns:
            Its exit code, negative for a signal.
        """
        if process.poll() is None:
            # Only to the program, which ends its children in the right order.
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(grace_seconds)
        if process.poll() is None:
            process.kill()
        code = process.wait()
        _kill(self._members(process.pid))  # a group's id stays taken while it has members
        with self._lock:
            self._write([entry for entry in self._read() if entry.pid != process.pid])
        return code

    def end_leftovers(self) -> list[str]:
        """End the processes that an earlier, killed run left running.

        Returns:
            The names of the ended programs, for a message.
        """
        with self._lock:
            entries = self._read()
            leaders = {entry: entry.process() for entry in entries}
            ended = []
            for entry, leader in leaders.items():
                members = self._members(entry.pid)
                if leader or members:
                    ended.append(entry.name)
                if leader:
                    with suppress(psutil.Error):
                        leader.terminate()
            _wait([leader for leader in leaders.values() if leader], _LEFTOVER_SECONDS)
            for entry, leader in leaders.items():
                _kill([*self._members(entry.pid), *([leader] if leader else [])])
            self._write([])
        return ended

    def _members(self, group: int) -> list[psutil.Process]:
        """Return the running processes of a group that have the mark of this register."""
        try:
            os.killpg(group, 0)  # fast: usually the group doesn't exist
        except OSError:
            return []
        members = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                in_group = os.getpgid(process.pid) == group
                if in_group and process.environ().get(MARK) == self._mark and is_alive(process):
                    members.append(process)
        return members

    def _read(self) -> list[_ProcessEntry]:
        """Return the register; empty if it is missing or unreadable."""
        try:
            return [_ProcessEntry.parse(fields) for fields in json.loads(self._path.read_bytes())]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def _write(self, entries: Sequence[_ProcessEntry]) -> None:
        """Replace the register atomically."""
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps([asdict(entry) for entry in entries]), encoding="utf-8")
        draft.replace(self._path)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the block ends."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals interrupt only the main thread
        return
    received: list[int] = []
    former = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for which, handler in former.items():
            signal.signal(which, handler or signal.SIG_DFL)
    for number in received:
        signal.raise_signal(number)


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs. A zombie, as in many containers, doesn't."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _wait(processes: Sequence[psutil.Process], timeout_seconds: float) -> None:
    """Wait until all have ended, or until the deadline."""
    deadline = time.monotonic() + timeout_seconds
    while any(map(is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _kill(processes: Sequence[psutil.Process]) -> None:
    """Kill processes, and wait until they have ended."""
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    _wait(processes, timeout_seconds=5)
