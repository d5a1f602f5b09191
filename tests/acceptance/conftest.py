"""Fixtures of the acceptance tests."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from acceptance.command_line import CommandLine


@pytest.fixture
def retinue(tmp_path: Path) -> Iterator[CommandLine]:
    command_line = CommandLine(tmp_path)
    yield command_line
    command_line.close()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    def wait(happened: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.02)

    return wait
