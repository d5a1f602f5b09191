"""Run the worker of ECS as a child process."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import JsonValue
from retinue_workers.detectors.isolation.child_process import how_it_ended

from retinue_cli.local.endpoint import AwsEndpoint
from retinue_cli.local.errors import LaptopError
from retinue_cli.local.log_file import LogFile
from retinue_cli.local.processes import Processes
from retinue_cli.local.state import State

WAIT_SECONDS = 1
"""Seconds that a receive waits for messages, the least that SQS knows."""

GRACE_SECONDS = 1.0
"""Seconds for running detectors and the last receive when a run is stopped. Not less than a receive
waits: the queue would hide messages of the next run for a receive that was given up. Ctrl-C
promises an end in two seconds.
"""

END_SECONDS = 10.0
"""Seconds for the worker to stop after its work. It may still call observers."""

_REMEDY = (
    "If a detector's code is at fault, run it in a process of its own: "
    "RETINUE_ISOLATION='{\"NAME\": {}}' retinue run; see docs/isolation.md"
)


class WorkerProcess:
    """A context manager in which ``retinue worker`` consumes the queue.

    Args:
        state: The state with its log.
        processes: Registers the process.
        endpoint: Its AWS endpoint.
        queue_url: Its queue.
        database_url: Its history.
        detectors: Its detectors with their options.
        variables: Other environment variables, such as the URLs of local services.
        plugins_dir: Its folder of single-file plugins.
    """

    def __init__(
        self,
        state: State,
        processes: Processes,
        *,
        endpoint: AwsEndpoint,
        queue_url: str,
        database_url: str,
        detectors: Mapping[str, Mapping[str, JsonValue]],
        variables: Mapping[str, str] | None = None,
        plugins_dir: Path | None = None,
    ) -> None:
        self._processes = processes
        self._log = LogFile(state.logs / "worker.log")
        self._environment = endpoint.environment(os.environ) | {
            "RETINUE_QUEUE_URL": queue_url,
            "RETINUE_DATABASE_URL": database_url,
            "RETINUE_DETECTORS": json.dumps(detectors),
            "RETINUE_WAIT_TIME_SECONDS": str(WAIT_SECONDS),
            "RETINUE_SHUTDOWN_GRACE_SECONDS": str(GRACE_SECONDS),
            "RETINUE_LOG_FORMAT": "json",
            **(variables or {}),
        }
        if plugins_dir is not None:
            self._environment["RETINUE_PLUGINS_DIR"] = str(plugins_dir.resolve())
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the worker.

        Raises:
            LaptopError: It can't be started.
        """
        self._log.begin()
        self._process = self._processes.start(
            "the worker",
            [sys.executable, "-m", "retinue_workers"],
            environment=self._environment,
            log=self._log.path,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the worker gracefully, and quickly after an interruption."""
        if self._process is not None:
            grace_seconds = END_SECONDS if kind is None else GRACE_SECONDS + 0.3
            self._processes.stop(self._process, grace_seconds)

    def check(self) -> None:
        """Raise if the worker has ended.

        Raises:
            LaptopError: It ended. The message has the end of its log.
        """
        if self._process is not None and (code := self._process.poll()) is not None:
            reason, remedy = f"ended with exit code {code}", ""
            if code < 0:
                reason = f"is gone: {how_it_ended(code)}"
                remedy = f"\n{_REMEDY}"
            raise LaptopError(
                f"the worker {reason}. The end of {self._log.path}:\n{self._log.tail()}{remedy}"
            )

    def tracebacks(self) -> dict[str, str]:
        """Return the first traceback of each detector that raised, without the worker's frames."""
        found: dict[str, str] = {}
        for line in self._log.lines():
            if '"detector_raised"' not in line:
                continue
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            traceback = entry.get("exception") or entry.get("why") or ""
            found.setdefault(entry["detector"], _of_plugin(traceback))
        return found

    def videos(self) -> dict[str, tuple[int, int | None]]:
        """Return the progress of each video in milliseconds, and its duration.

        The key is the name, and the detector's name.
        """
        found: dict[str, tuple[int, int | None]] = {}
        for line in self._log.tail(lines=100).splitlines():
            if '"video_progress"' not in line and '"run_recorded"' not in line:
                continue
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            name = f"{entry['uri'].rpartition('/')[2]}, {entry['detector']}"
            if entry["event"] == "video_progress":
                found[name] = entry["time_ms"], entry["duration_ms"]
            else:
                found.pop(name, None)
        return found

    def complaint(self) -> str | None:
        """Return the worker's latest warning or error; ``None`` if there is none."""
        for line in reversed(self._log.tail(lines=50).splitlines()):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and entry.get("level") in ("warning", "error"):
                reason = entry.get("reason") or entry.get("problem") or entry.get("error") or ""
                return f"{entry.get('event')}: {reason}"
        return None


def _of_plugin(traceback: str) -> str:
    """Cut the frames of the worker, which called the plugin, from a traceback."""
    _, *frames = re.split(r'^(?=  File ")', traceback, flags=re.MULTILINE)
    while len(frames) > 1 and "retinue_workers" in frames[0].partition("\n")[0]:
        del frames[0]
    return "".join(frames).rstrip()
