"""Child processes that outlive neither a run nor, by more than one run, a ``kill -9`` of it."""

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
"""Environment variable that tells a register's processes, and their children, from all others."""

# The system derives the time from its clock, which a time server may move a little.
_TOLERANCE_SECONDS = 2.0
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class _ProcessEntry:
    """A process as the register knows it: a pid alone may belong to a stranger by now."""

    name: str
    pid: int
    create_time: float

    @classmethod
    def parse(cls, fields: Mapping[str, object]) -> Self:
        """Read what ``asdict`` wrote.

        Raises:
            KeyError: A field is missing.
            ValueError: A field is of the wrong kind.
        """
        return cls(str(fields["name"]), int(str(fields["pid"])), float(str(fields["create_time"])))

    def process(self) -> psutil.Process | None:
        """The living process, or none when it ended or its pid was given to another."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.create_time) <= _TOLERANCE_SECONDS
        except psutil.Error:
            return None
        return process if same and is_alive(process) else None


class Processes:
    """Starts child processes, each in a session of its own, and registers them on disk.

    Ctrl-C in the terminal reaches only the terminal's session, so the children are stopped in the
    order that the run chooses. Whoever starts a run calls ``end_leftovers`` first, with the state's
    lock held: the register then holds only what an earlier run left behind.

    Args:
        state: Whose ``processes.json`` is the register.
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
            name: What it is called in messages.
            command: The program and its arguments; no shell is involved.
            environment: All of its environment variables.
            log: File to which its output is appended.
            directory: Its working directory; the current one when omitted.

        Raises:
            LaptopError: It cannot be started.
        """
        with uninterrupted():  # else a child could start that nobody knows of
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
        """End a program and everything it started: SIGTERM, and SIGKILL for what is left then.

        Args:
            process: What ``start`` returned; it may have ended already.
            grace_seconds: How long it may take to end by itself.

        Returns:
            Its exit code, negative for a signal.
        """
        if process.poll() is None:
            # To the program alone: it knows best in which order to end its own children.
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

    def end_leftovers(self, grace_seconds: float = 3.0) -> list[str]:
        """End what an earlier run, killed before it could clean up, left running.

        Args:
            grace_seconds: How long they may take, all together, before they are killed.

        Returns:
            The names of the programs ended, for a message.
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
            _wait([leader for leader in leaders.values() if leader], grace_seconds)
            for entry, leader in leaders.items():
                _kill([*self._members(entry.pid), *([leader] if leader else [])])
            self._write([])
        return ended

    def _members(self, group: int) -> list[psutil.Process]:
        """The living processes of a group that carry our mark, should the id be a stranger's."""
        try:
            os.killpg(group, 0)  # cheap: mostly there is no such group, and nothing to look for
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
        """The register; empty when it is missing or unreadable."""
        try:
            return [_ProcessEntry.parse(fields) for fields in json.loads(self._path.read_bytes())]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def _write(self, entries: Sequence[_ProcessEntry]) -> None:
        """Replace the register as a whole, so that a reader never finds half of it."""
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps([asdict(entry) for entry in entries]), encoding="utf-8")
        draft.replace(self._path)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM until a few lines are done that belong together."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals interrupt the main thread alone
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
    """Return whether a process still runs; a zombie, as in many containers, doesn't."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _wait(processes: Sequence[psutil.Process], timeout_seconds: float) -> None:
    """Wait until all have ended, or the time is up."""
    deadline = time.monotonic() + timeout_seconds
    while any(map(is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _kill(processes: Sequence[psutil.Process]) -> None:
    """SIGKILL, and wait until they are gone."""
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    _wait(processes, timeout_seconds=5)
