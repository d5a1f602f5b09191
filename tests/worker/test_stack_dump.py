"""SIGUSR1 shows what every thread and task of a worker waits for, and stops nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

UNREACHABLE = {
    "RETINUE_QUEUE_URL": "http://127.0.0.1:9/1/queue",
    "RETINUE_DATABASE_URL": "postgresql://retinue@127.0.0.1:9/retinue",
    "RETINUE_DETECTORS": '{"onnx-faces": {}}',
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_DEFAULT_REGION": "eu-west-1",
}
"""A worker that waits for its database."""


@pytest.fixture
def worker() -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "retinue_workers"]
    with subprocess.Popen(
        command, env=os.environ | UNREACHABLE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    """Return what the process writes until a line has a text; the process must not end before."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"{text!r} isn't in:\n{''.join(lines)}")


def test_a_signal_shows_threads_and_tasks(worker: "subprocess.Popen[str]") -> None:
    read_until(worker, "waiting_for_dependencies")
    for _ in range(2):
        worker.send_signal(signal.SIGUSR1)
        threads = read_until(worker, "asyncio tasks:")
        assert "Current thread" in threads
        assert "__main__.py" in threads
        read_until(worker, "in build_worker")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 0
