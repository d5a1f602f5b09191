"""Run an emulator of S3, SNS and SQS as a child process."""

import json
import os
import socket
import subprocess
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

from retinue_cli.local.emulator_environment import VERSION, EmulatorEnvironment
from retinue_cli.local.endpoint import AwsEndpoint
from retinue_cli.local.errors import LaptopError
from retinue_cli.local.log_file import LogFile
from retinue_cli.local.processes import Processes
from retinue_cli.local.state import State

HOST = "127.0.0.1"
START_TIMEOUT_SECONDS = 30.0

_ATTEMPTS = 5
_GRACE_SECONDS = 0.5
"""Seconds to wait for its end. It forgets everything anyway, and Ctrl-C promises that a run ends in
two seconds, of which the worker may take 1.3.
"""
_POLL_SECONDS = 0.05


class Emulator:
    """A context manager that runs AWS's emulator. The emulator forgets everything when it stops.

    Args:
        state: The state whose ``logs`` and scratch space it uses.
        processes: Registers the process. The default uses the same state.
        environment: The Python environment of the emulator. The default is the user's own.
    """

    def __init__(
        self,
        state: State,
        processes: Processes | None = None,
        environment: EmulatorEnvironment | None = None,
    ) -> None:
        self._state = state
        self._processes = processes or Processes(state)
        self._environment = environment or EmulatorEnvironment()
        self._log = LogFile(state.logs / "emulator.log")
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        """Start the emulator. Errors are those of ``start``."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the emulator."""
        self.stop()

    def start(self) -> None:
        """Install the emulator if necessary, start it, and wait until it answers.

        Raises:
            LaptopError: It doesn't start. The message has the end of its log.
        """
        self._state.prepare()
        python = self._environment.ensure()
        for attempt in range(_ATTEMPTS):
            self._port = _free_port()
            self._log.begin()
            self._process = self._start(python)
            try:
                if self._ready(self._process):
                    return
            except BaseException:
                self.stop()
                raise
            code = self.stop()
            tail = self._log.tail()
            taken = "already in use" in tail  # another process took the port: try another
            if not taken or attempt == _ATTEMPTS - 1:
                raise LaptopError(
                    f"the AWS emulator ended immediately, with exit code {code}. The end of "
                    f"{self._log.path}:\n{tail}\nTo install it again, remove "
                    f"{self._environment.directory} and run again."
                )
        raise AssertionError("unreachable")

    @property
    def endpoint(self) -> AwsEndpoint:
        """Return the emulator's endpoint.

        Raises:
            RuntimeError: It isn't running.
        """
        if self._process is None:
            raise RuntimeError("the emulator has an endpoint only inside the `with` block")
        return AwsEndpoint(f"http://{HOST}:{self._port}")

    def running(self) -> bool:
        """Return whether the emulator runs, and has not crashed."""
        return self._process is not None and self._process.poll() is None

    def terminate(self) -> None:
        """Tell the emulator to end, if it is running. ``stop`` waits for it."""
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> int | None:
        """Stop the emulator, if it is running.

        Returns:
            Its exit code, if it ran.
        """
        if self._process is None:
            return None
        process, self._process = self._process, None
        return self._processes.stop(process, _GRACE_SECONDS)

    def _start(self, python: Path) -> subprocess.Popen[bytes]:
        return self._processes.start(
            "the AWS emulator",
            [python, "-I", "-m", "ministack"],
            # Minimal: it must neither find the user's AWS files nor their Docker, whose containers
            # it would clean up.
            environment={
                "PATH": os.defpath,
                "HOME": str(self._state.emulator),
                "TMPDIR": str(self._state.emulator),
                "BIND_HOST": HOST,
                "GATEWAY_PORT": str(self._port),
                "SERVICES": "s3,sns,sqs,sts,iam,events",
                "IOT_MTLS_ENABLED": "0",
                "SFTP_ENABLED": "0",
                "DOCKER_HOST": f"unix://{self._state.emulator}/no-docker.sock",
                "AWS_EC2_METADATA_DISABLED": "true",
            },
            log=self._log.path,
            directory=self._state.emulator,
        )

    def _ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait until it answers. Return false if it ended instead.

        Raises:
            LaptopError: It neither answers nor ends.
        """
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while process.poll() is None:
            # Another program on the port would answer too, while ours finds the port taken.
            if self._version() == VERSION and process.poll() is None:
                return True
            if time.monotonic() > deadline:
                raise LaptopError(
                    f"the AWS emulator did not answer within {START_TIMEOUT_SECONDS:.0f} s. "
                    f"The end of {self._log.path}:\n{self._log.tail()}"
                )
            time.sleep(_POLL_SECONDS)
        return False

    def _version(self) -> str | None:
        """Return the emulator's version; ``None`` if it doesn't answer."""
        connection = HTTPConnection(HOST, self._port, timeout=1)  # ignores proxies, unlike urllib
        try:
            connection.request("GET", "/_localstack/health")
            health = json.loads(connection.getresponse().read())
            return str(health["version"])
        except (OSError, HTTPException, ValueError, KeyError, TypeError):
            return None
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
