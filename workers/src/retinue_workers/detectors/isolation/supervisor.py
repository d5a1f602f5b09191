"""Start, watch and end child processes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Thread
from typing import Generic, TypeVar

from retinue_sdk import RetriableError

from retinue_workers.detectors.isolation.child_process import ChildProcess

ProcessT = TypeVar("ProcessT", bound=ChildProcess)

TIMED_OUT = "a call took too long"
"""The cause of the end of a process that exceeded its call's deadline."""

STOPPED = "the worker stops"
"""The cause of the end of a process that ran when the worker stopped."""


class ProcessSupervisor(Generic[ProcessT]):
    """Starts child processes, and kills those that exceed their deadline, on its own thread.

    The thread lives as long as the processes, because Linux kills them when it ends.

    Args:
        name: Purpose of the processes, for messages.
        make: Starts a process.
    """

    def __init__(self, name: str, make: Callable[[], ProcessT]) -> None:
        self._name = name
        self._make = make
        self._changed = Condition()
        self._wanted = 0
        self._started: list[ProcessT | BaseException] = []
        self._deadlines: dict[ProcessT, float] = {}
        self._all: set[ProcessT] = set()
        self._closed = False
        self._thread = Thread(target=self._run, name=f"{name}-supervisor", daemon=True)
        self._thread.start()

    def spawn(self) -> ProcessT:
        """Start a new process.

        Raises:
            RetriableError: The supervisor is closed, or the machine can't start another process.
        """
        with self._changed:
            self._wanted += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._started or self._closed)
            if not self._started:
                raise RetriableError(STOPPED)
            new = self._started.pop()
        if isinstance(new, BaseException):
            raise RetriableError(f"no process for {self._name}: {new}") from new
        return new

    @contextmanager
    def guarding(self, process: ProcessT, deadline: float) -> Iterator[None]:
        """Kill the process unless the block ends before the deadline (monotonic clock, seconds)."""
        with self._changed:
            self._deadlines[process] = deadline
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._deadlines.pop(process, None)

    def end(self, process: ProcessT) -> None:
        """End a process that is no longer needed."""
        process.kill("it was given up")
        with self._changed:
            self._all.discard(process)

    def close(self) -> None:
        """End every process and the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while self._serve():
            pass
        for process in list(self._all):
            process.kill(STOPPED)

    def _serve(self) -> bool:
        """Do the next step, or wait for one. Return ``False`` at the end."""
        with self._changed:
            now = time.monotonic()
            late = [process for process, by in self._deadlines.items() if by <= now]
            for process in late:
                del self._deadlines[process]
            if self._closed:
                return False
            wanted = self._wanted > 0
            if not late and not wanted:
                nearest = min(self._deadlines.values(), default=None)
                self._changed.wait(None if nearest is None else nearest - now)
                return True
        for process in late:
            process.kill(TIMED_OUT)
        if wanted:
            try:
                new: ProcessT | BaseException = self._make()
            except BaseException as error:  # noqa: BLE001 - raised by spawn
                new = error
            with self._changed:
                self._wanted -= 1
                self._started.append(new)
                if not isinstance(new, BaseException):
                    self._all.add(new)
                self._changed.notify_all()
        return True
