"""The pytest plugin: fixtures for the test classes of ``retinue_sdk.testing``.

Everything else is imported when a test asks for it: pytest loads this module in every project that
has the SDK installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from retinue_sdk.testing import Bench, Subject


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the memory check be shortened, or left out."""
    parser.getgroup("retinue").addoption(
        "--retinue-memory-images",
        type=int,
        metavar="N",
        help="images that the memory check of a Retinue detector shows; 0 leaves it out",
    )


@pytest.fixture
def subject() -> Subject:
    """The detector under test; a plugin's author overrides it."""
    raise pytest.UsageError(
        "the test classes of retinue_sdk.testing want a fixture named `subject` that returns "
        "retinue_sdk.testing.Subject(YourDetector)"
    )


@pytest.fixture
def retinue_bench(subject: Subject, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The detector made ready for one check, and closed after it."""
    from retinue_sdk.testing import Bench

    images = request.config.getoption("--retinue-memory-images")
    chosen = subject if images is None else replace(subject, memory_images=images)
    with Bench(chosen) as bench:
        yield bench
