"""Find Chromium, for tests of the console and for the pictures of its documentation."""

import os
import shutil
from dataclasses import dataclass

NAMES = ("chromium", "chromium-browser", "google-chrome")

MISSING = "no Chromium is installed: on Debian, apt-get install chromium"


@dataclass(frozen=True, slots=True)
class Chromium:
    """A program that Playwright can start.

    Attributes:
        path: Its path.
        arguments: Its arguments; root can't have a sandbox.
    """

    path: str
    arguments: list[str]


def find_chromium() -> Chromium | None:
    """Return the first program that is installed."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    return None if path is None else Chromium(path, arguments)
