"""The real adapters, against an emulator of AWS."""

import os
from collections.abc import Iterator

import pytest
from retinue_workers.laptop import Emulator, Endpoint, LaptopError, State


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """An emulator of S3 and SQS, shared by all tests."""
    emulator = Emulator(State(tmp_path_factory.mktemp("aws") / ".retinue"))
    try:
        emulator.__enter__()
    except LaptopError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the emulator cannot be had: {error}")
    try:
        yield emulator.endpoint
    finally:
        emulator.stop()
