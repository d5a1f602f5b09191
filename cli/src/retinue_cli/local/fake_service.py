"""Programs that answer in place of services for which a laptop has no account."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import JsonValue
from retinue_sdk import AnyDetector, StandIn

from retinue_cli.local.endpoint import Endpoint
from retinue_cli.local.errors import LaptopError
from retinue_cli.local.log_file import LogFile
from retinue_cli.local.processes import Processes
from retinue_cli.local.state import State

START_TIMEOUT_SECONDS = 60.0
"""How long it may take to serve; on a busy machine Python alone takes seconds."""

_POLL_SECONDS = 0.05
_LISTENING = re.compile(r"^\s*listening on (http://127\.0\.0\.1:\d+)", re.MULTILINE)


class StandInProcess:
    """A context manager: the program serves inside.

    Args:
        stand_in: What to start.
        state: Where its log goes.
        processes: Registers the process.
        endpoint: Where it finds S3.
    """

    def __init__(
        self, stand_in: StandIn, state: State, processes: Processes, endpoint: Endpoint
    ) -> None:
        """Start nothing yet."""
        self.stand_in = stand_in
        self.url = ""
        self._processes = processes
        self._log = LogFile(state.logs / f"{stand_in.module}.log")
        self._environment = endpoint.environment(os.environ)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it, and wait until it serves.

        Raises:
            LaptopError: It does not; the message has the end of its log.
        """
        self._log.begin()
        name = f"the stand-in for {self.stand_in.service}"
        self._process = self._processes.start(
            name,
            [sys.executable, "-m", self.stand_in.module, "--port", "0"],
            environment=self._environment,
            log=self._log.path,
        )
        try:
            self.url = self._wait(name, self._process)
        except BaseException:
            self._processes.stop(self._process, 0)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it."""
        if self._process is not None:
            self._processes.stop(self._process, 0.5)

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self._log.path

    def _wait(self, name: str, process: subprocess.Popen[bytes]) -> str:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            said = _LISTENING.search(self._log.tail(lines=50))
            if said is not None:
                return said[1]
            if process.poll() is not None:
                break
            time.sleep(_POLL_SECONDS)
        raise LaptopError(f"{name} did not start. The end of {self._log.path}:\n{self._log.tail()}")


def needed(
    detectors: Sequence[AnyDetector], chosen: Mapping[str, Mapping[str, JsonValue]]
) -> dict[StandIn, list[str]]:
    """The stand-ins to start, each with the names of the detectors that will ask it.

    Args:
        detectors: The detectors of the run.
        chosen: Their options; one that names an endpoint of the user's own needs no stand-in.
    """
    found: dict[StandIn, list[str]] = {}
    for detector in detectors:
        stand_in = detector.stand_in
        if stand_in is not None and not chosen.get(detector.name, {}).get(stand_in.option):
            found.setdefault(stand_in, []).append(detector.name)
    return found


def warning(stand_in: StandIn, names: Sequence[str]) -> str:
    """What is said on the screen, before the answers and after them."""
    return (
        f"{', '.join(names)}: these answers are not {stand_in.service}'s. `retinue run` never "
        f"calls AWS; a stand-in of Retinue's answers. {stand_in.honesty}"
    )
