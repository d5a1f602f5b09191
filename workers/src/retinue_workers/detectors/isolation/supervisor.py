"""Where a detector's processes are born, watched, and ended."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Thread

from retinue_sdk import RetriableError

from retinue_workers.detectors.isolation.child import Recipe
from retinue_workers.detectors.isolation.process import DetectorProcess

TIMED_OUT = "a call took too long"
"""The cause of a process's end that its calls' deadline was."""


class Nursery:
    """The thread that starts a detector's processes, and kills those that take too long.

    It lives as long as they do: Linux kills them when the thread that started them ends.
    """

    def __init__(self, name: str, recipe: Recipe) -> None:
        self._name = name
        self._recipe = recipe
        self._changed = Condition()
        self._wanted = 0
        self._born: list[DetectorProcess | BaseException] = []
        self._deadlines: dict[DetectorProcess, float] = {}
        self._all: set[DetectorProcess] = set()
        self._closed = False
        self._thread = Thread(target=self._run, name=f"{name}-nursery", daemon=True)
        self._thread.start()

    def spawn(self) -> DetectorProcess:
        """A new process.

        Raises:
            RetriableError: The nursery is closed, or the machine has no process left.
        """
        with self._changed:
            self._wanted += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._born or self._closed)
            if not self._born:
                raise RetriableError("the worker stops")
            born = self._born.pop()
        if isinstance(born, DetectorProcess):
            return born
        raise RetriableError(f"no process for {self._name}: {born}") from born

    @contextmanager
    def guarding(self, process: DetectorProcess, deadline: float) -> Iterator[None]:
        """Kill the process if it is not done by then (monotonic clock, seconds)."""
        with self._changed:
            self._deadlines[process] = deadline
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._deadlines.pop(process, None)

    def end(self, process: DetectorProcess) -> None:
        """The process is of no use any more."""
        process.kill("it was given up")
        with self._changed:
            self._all.discard(process)

    def close(self) -> None:
        """End every process, and the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while self._serve():
            pass
        for process in list(self._all):
            process.kill("the worker stops")

    def _serve(self) -> bool:
        """Do what is to be done next, or wait for it; ``False`` at the end."""
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
                born: DetectorProcess | BaseException = DetectorProcess(self._name, self._recipe)
            except BaseException as error:  # noqa: BLE001 - whoever asked is to know
                born = error
            with self._changed:
                self._wanted -= 1
                self._born.append(born)
                if isinstance(born, DetectorProcess):
                    self._all.add(born)
                self._changed.notify_all()
        return True
