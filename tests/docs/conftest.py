"""The documentation as data: pages, and the fenced blocks in them."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPY = ROOT / "console/src/retinue_console/recipes.md"
"""The package's copy of a page, whose links lead from the page's own folder."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        page: The page, relative to the repository.
        language: What stands after the fence.
        code: What is inside, with its last newline.
        title: The nearest line of text above it.
    """

    page: str
    language: str
    code: str
    title: str


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def pages() -> dict[str, str]:
    """Return every Markdown page of the repository by path, without hidden folders and copies."""
    files = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(folder, name) for name in names if name.endswith(".md") and name[0] != "."]
    return {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for path in sorted(files)
        if path != COPY
    }


@pytest.fixture(scope="session")
def blocks(pages: dict[str, str]) -> list[Block]:
    """Return every fenced block of every page."""
    return [
        Block(page, fence[1], fence[2], text[: fence.start()].strip().rpartition("\n")[2])
        for page, text in pages.items()
        for fence in FENCE.finditer(text)
    ]


@pytest.fixture
def run() -> Callable[[Sequence[str], Path, Mapping[str, str]], str]:
    """Runs a command in a folder with an environment; it must succeed, and what it says is given.

    One that takes too long is ended as by Ctrl-C, so that it leaves no process behind.
    """
    return _run


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # a group of its own, to be ended as a whole
    ) as process:
        try:
            said, _ = process.communicate(timeout=90)
        except BaseException:
            os.killpg(process.pid, signal.SIGINT)
            sys.stdout.write(process.communicate(timeout=15)[0])
            raise
    assert process.returncode == 0, f"{command}\n{said}"
    return said
