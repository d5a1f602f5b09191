"""A child process with a pipe, from the worker's side."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.reduction import send_handle
from threading import Lock
from typing import IO, Any

import structlog

from retinue_workers.detectors.errors import DetectorCrashedError
from retinue_workers.detectors.isolation import child
from retinue_workers.detectors.isolation.protocol import JsonMessage, pack, unpack

MAX_MESSAGE_BYTES = 2**20
"""Maximum size of a message from the process other than an answer, in bytes."""

MAX_STACK_BYTES = 2**16
"""Maximum size of the stack of a crash, in bytes: what a pipe holds."""

JOIN_SECONDS = 5.0
"""How long to wait for a killed process. The kernel ends it within milliseconds."""

log = structlog.get_logger(__name__)

_spawn = multiprocessing.get_context("spawn")
_starting = Lock()  # multiprocessing keeps a list of its processes without a lock


class ChildProcess:
    """A process and the pipe to it. Only one thread at a time may use the pipe; any may kill it.

    The process is killed when the calling *thread* ends, because Linux treats the thread as the
    parent.

    Args:
        name: The name, for messages.
        main: Runs in the process, with ``arguments``, its end of the pipe, the end of another pipe
            for the stack of a crash, and this process's id.

    Attributes:
        process_id: The process id.
        cause: Why the worker killed it; ``None`` if the worker didn't.
    """

    def __init__(self, name: str, main: Callable[..., None], *arguments: Any) -> None:
        """Start the process."""
        self.name = name
        self.cause: str | None = None
        self._connection, theirs = _spawn.Pipe()
        self._stack, their_stack = _spawn.Pipe(duplex=False)
        self._process = _spawn.Process(
            target=main, args=(*arguments, theirs, their_stack, os.getpid()), name=name, daemon=True
        )
        with _starting:
            self._process.start()
        theirs.close()
        their_stack.close()
        self.process_id = self._process.pid

    @property
    def alive(self) -> bool:
        """Return whether the process is running."""
        return self._process.is_alive()

    @property
    def is_out_of_memory(self) -> bool:
        """Return whether the process has ended for lack of memory."""
        return self._process.exitcode == child.OUT_OF_MEMORY

    def send(self, message: JsonMessage) -> None:
        """Send a message."""
        self.send_frame(pack(message))

    def send_frame(self, frame: "bytes | memoryview") -> None:
        """Send raw bytes."""
        self._connection.send_bytes(frame)

    def send_file(self, file: IO[bytes]) -> None:
        """Send an open file, which needs no name."""
        send_handle(self._connection, file.fileno(), self.process_id or 0)

    def receive(self) -> JsonMessage:
        """Wait for a message."""
        return unpack(self.receive_frame(MAX_MESSAGE_BYTES))

    def receive_frame(self, max_bytes: int) -> bytes:
        """Wait for raw bytes."""
        return self._connection.recv_bytes(max_bytes)

    def poll(self, seconds: float | None) -> bool:
        """Return whether there is something to receive within ``seconds``."""
        return self._connection.poll(seconds)

    def join(self, seconds: float) -> None:
        """Wait until the process ends."""
        self._process.join(seconds)

    def kill(self, cause: str) -> None:
        """Kill the process immediately, and reap it."""
        self.cause = self.cause or cause
        with suppress(ValueError):  # killed and reaped before
            self._process.kill()
            self._process.join(JOIN_SECONDS)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Turn errors of the pipe into the reason for the process's end.

        Raises:
            DetectorCrashedError: The process ended, or sent something unreadable.
        """
        try:
            yield
        except (EOFError, OSError, ValueError, KeyError, RecursionError) as error:
            raise DetectorCrashedError(
                f"the process of {self.name} is gone: {self.explain()}"
            ) from error

    def explain(self) -> str:
        """Return why the process ended, as text. Kill it if it still runs.

        If native code crashed, log the stack.
        """
        if self.cause is None:
            self._process.join(1.0)  # its end of the pipe closes shortly before it ends
            if stack := self._read_stack():
                log.error("process_crashed", process=self.name, stack=stack)
        status = self._process.exitcode
        if self.cause is None and status is None:
            self.kill("protocol error: unreadable message from the detector process")
        if self.cause is not None:
            return self.cause
        return how_it_ended(status)

    def _read_stack(self) -> str:
        """Return the text of faulthandler, which would cut lines of our log in two."""
        with suppress(OSError):
            if self._stack.poll():
                return os.read(self._stack.fileno(), MAX_STACK_BYTES).decode(errors="replace")
        return ""


def how_it_ended(status: int | None) -> str:
    """Describe the end of a process by its exit status. Negative values are signals."""
    if status == child.OUT_OF_MEMORY:
        return "it ran out of memory"
    if status is not None and status < 0:
        with suppress(ValueError):
            its = signal.Signals(-status).name
            hint = " (out of memory?)" if -status == signal.SIGKILL else ""
            return f"it was ended by {its}{hint}"
    return f"it exited with status {status}"
