"""Run programs that replace a detector's service on a laptop."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from pydantic import JsonValue
from retinue_sdk import AnyDetector, LocalService

from retinue_cli.local.endpoint import AwsEndpoint
from retinue_cli.local.errors import LaptopError
from retinue_cli.local.log_file import LogFile
from retinue_cli.local.processes import Processes
from retinue_cli.local.state import State

START_TIMEOUT_SECONDS = 60.0
"""Seconds that it may take to start. On a busy machine, Python alone takes seconds."""

_POLL_SECONDS = 0.05
_LISTENING = re.compile(r"^\s*listening on (http://127\.0\.0\.1:\d+)", re.MULTILINE)


class LocalServiceProcess:
    """Runs a local service inside a ``with`` block.

    Args:
        local_service: The program.
        state: The state with its log.
        processes: Registers the process.
        endpoint: The endpoint of S3.
    """

    def __init__(
        self, local_service: LocalService, state: State, processes: Processes, endpoint: AwsEndpoint
    ) -> None:
        self.local_service = local_service
        self.url = ""
        self._processes = processes
        self._log = LogFile(state.logs / f"{local_service.module}.log")
        self._environment = endpoint.environment(os.environ)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the program and wait until it answers.

        Raises:
            LaptopError: It did not start. The message has the end of its log.
        """
        self._log.begin()
        name = f"the emulator of {self.local_service.service}"
        self._process = self._processes.start(
            name,
            [sys.executable, "-m", self.local_service.module, "--port", "0"],
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
        """Stop the program."""
        if self._process is not None:
            self._processes.stop(self._process, 0.5)

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
) -> dict[LocalService, list[str]]:
    """Return the local services to start, each with the detectors that use it.

    Args:
        detectors: The run's detectors.
        chosen: Their options. A detector whose options name an endpoint needs no local service.
    """
    found: dict[LocalService, list[str]] = {}
    for detector in detectors:
        service = detector.local_service
        if service is not None and not chosen.get(detector.name, {}).get(service.option):
            found.setdefault(service, []).append(detector.name)
    return found


def warning(local_service: LocalService, names: Sequence[str]) -> str:
    """Return the disclaimer that is printed before the answers."""
    return (
        f"{', '.join(names)}: these answers are not {local_service.service}'s. `retinue run` never "
        f"calls AWS; an emulator answers. {local_service.disclaimer} Their model version is "
        '"emulator". They are in detection_history, but not in latest_detections.'
    )
