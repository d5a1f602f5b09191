"""The pytest plugin: fixtures for the test classes of ``retinue_sdk.testing``.

Other modules are imported when a test uses them, because pytest loads this module in every project
that has the SDK installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from retinue_sdk.testing import Bench, Subject


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that shortens or skips the memory check."""
    parser.getgroup("retinue").addoption(
        "--retinue-memory-images",
        type=int,
        metavar="N",
        help="images that the memory check of a Retinue detector shows; 0 leaves it out",
    )


@pytest.fixture
def subject() -> Subject:
    """Return the detector under test. A plugin's author overrides this fixture."""
    raise pytest.UsageError(
        "the test classes of retinue_sdk.testing need a fixture named `subject` that returns "
        "retinue_sdk.testing.Subject(YourDetector)"
    )


@pytest.fixture
def retinue_bench(subject: Subject, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Yield the detector, prepared for one check, and close it afterwards."""
    from retinue_sdk.testing import Bench

    images = request.config.getoption("--retinue-memory-images")
    chosen = subject if images is None else replace(subject, memory_images=images)
    with Bench(chosen) as bench:
        yield bench
