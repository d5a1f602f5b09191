"""A program under measurement, and the services beside it."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

TESTS = Path(__file__).parents[1]
START_SECONDS = 60.0
STOP_SECONDS = 2.0


class MeasuredProcess:
    """A process and its children: what they use is theirs alone.

    Args:
        command: What to run, in the folder ``tests``.
        environment: Its whole environment.
        log: Where its output goes.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self.started_at = time.time()
            self._process = subprocess.Popen(
                command, env=dict(environment), cwd=TESTS, stdout=output, stderr=output
            )
        self._observed = psutil.Process(self._process.pid)

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def check(self) -> None:
        """Make sure that it runs.

        Raises:
            RuntimeError: It has ended; the message has the end of its output.
        """
        if self._process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-3_000:]
            raise RuntimeError(f"it ended with exit code {self._process.returncode}:\n{tail}")

    def cpu_seconds(self) -> float:
        """Processor time of it and its children until now, in seconds.

        Raises:
            RuntimeError: It has ended; the message has the end of its output.
        """
        self.check()
        times = [one.cpu_times() for one in self._family()]
        return sum(time.user + time.system for time in times)

    def resident_bytes(self) -> int:
        """Memory that it and its children hold now."""
        return sum(one.memory_info().rss for one in self._family())

    def proportional_bytes(self) -> int:
        """Memory that it and its children hold now. Pages that they share count once."""
        return sum(one.memory_full_info().pss for one in self._family())

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for one in self._family():
                one.kill()
            self._process.wait()

    def _family(self) -> list[psutil.Process]:
        return [self._observed, *self._observed.children(recursive=True)]


@contextmanager
def service(module: str, *arguments: str) -> Iterator[str]:
    """Run ``benchmarks.MODULE``, a service that prints its address first; yield the address."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    process = subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
