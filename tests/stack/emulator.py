"""The emulators as child processes."""

import os
import subprocess
import time
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

from stack.install import python_of
from stack.services import PORTS, Emulator, Stack, emulators

ACCOUNT = "123456789012"
"""An access key of this form gives LocalStack its account id; ministack and moto use it as well."""

START_SECONDS = 180


def _command(emulator: Emulator, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return an emulator's command and variables."""
    port, python = str(PORTS[emulator]), str(python_of(emulator))
    match emulator:
        case Emulator.LOCALSTACK:
            return [python, "-m", "localstack.runtime.main"], {
                "PYTHONPATH": str(Path(__file__).with_name("localstack_python")),
                "OVERRIDE_IN_DOCKER": "0",
                "FILESYSTEM_ROOT": str(folder),
                "GATEWAY_LISTEN": f"127.0.0.1:{port}",
                "LOCALSTACK_HOST": f"127.0.0.1:{port}",
                "DISABLE_EVENTS": "1",
                "SKIP_SSL_CERT_DOWNLOAD": "1",
                "DNS_ADDRESS": "0",
                "SQS_ENDPOINT_STRATEGY": "off",
                "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
                "IAM_LOAD_MANAGED_POLICIES": "true",
            }
        case Emulator.MINISTACK:
            return [python, "-I", "-m", "ministack"], {
                "BIND_HOST": "127.0.0.1",
                "GATEWAY_PORT": port,
                "MINISTACK_ACCOUNT_ID": ACCOUNT,
                "IOT_MTLS_ENABLED": "0",
                "SFTP_ENABLED": "0",
                "DOCKER_HOST": f"unix://{folder}/no-docker.sock",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        case Emulator.MOTO:
            server = str(Path(python).with_name("moto_server"))
            return [python, server, "-H", "127.0.0.1", "-p", port], {}
        case _:
            raise ValueError(f"{emulator} is no program")


_HEALTH = {
    Emulator.LOCALSTACK: "/_localstack/health",
    Emulator.MINISTACK: "/_localstack/health",
    Emulator.MOTO: "/moto-api/",
}


class Emulators:
    """A context manager: everything that a stack needs runs inside.

    Args:
        stack: How the stack is served.
        folder: For their logs and files.
    """

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._wanted = emulators(stack) - {Emulator.OURS}
        if stack is Stack.LICENSED:
            self._wanted = set()  # it runs already
        self._folder = folder
        self._running = ExitStack()

    def __enter__(self) -> Self:
        """Start them, then wait for each.

        Raises:
            AssertionError: One ended, or does not answer; the message has the end of its log.
        """
        started = {emulator: self._start(emulator) for emulator in sorted(self._wanted)}
        for emulator, process in started.items():
            self._wait(emulator, process)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running.close()

    def _start(self, emulator: Emulator) -> "subprocess.Popen[bytes]":
        folder = self._folder / str(emulator)
        folder.mkdir()
        command, variables = _command(emulator, folder)
        with (self._folder / f"{emulator}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env={"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder), **variables},
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._running.callback(process.wait)
        self._running.callback(process.kill)  # it has nothing worth keeping
        return process

    def _wait(self, emulator: Emulator, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(PORTS[emulator], _HEALTH[emulator]):
            log = (self._folder / f"{emulator}.log").read_text(errors="replace")[-3_000:]
            assert process.poll() is None, f"{emulator} ended:\n{log}"
            assert time.monotonic() < deadline, f"{emulator} does not answer:\n{log}"
            time.sleep(0.1)


def _answers(port: int, path: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
