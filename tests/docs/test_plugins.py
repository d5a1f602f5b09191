"""The example of docs/plugins.md works, from its text alone."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import uv
from retinue_workers.laptop import LaptopError
from retinue_workers.laptop.emulator_environment import EmulatorEnvironment

PAGE = "docs/plugins.md"
Run = Callable[[Sequence[str], Path, Mapping[str, str]], str]
FILE = re.compile(r"^`(photo-quality/[\w.]+)`$")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for PostgreSQL's socket."""
    path = Path(tempfile.mkdtemp(prefix="rt-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def example(folder: Path, blocks: list[Any]) -> Path:
    """The example's folder, with the files that the page shows."""
    for block in blocks:
        if block.page == PAGE and (file := FILE.match(block.title)):
            path = folder / file[1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
    return folder / "photo-quality"


@pytest.fixture
def environment(example: Path) -> dict[str, str]:
    """Variables of a Python that has the example installed, and is otherwise like this one."""
    site = example.with_name("site")
    command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", str(example)]
    command += ["--target", str(site), "--python", sys.executable]
    cached = subprocess.run([*command, "--offline"], check=False, capture_output=True)
    if cached.returncode != 0:  # what builds the distribution is not in uv's cache
        subprocess.run(command, check=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RETINUE_")}
    return kept | {"PYTHONPATH": str(site)}


def test_its_own_tests_pass(run: Run, example: Path, environment: dict[str, str]) -> None:
    pytest_strictly = ("pytest", "-W", "error", "-p", "no:cacheprovider", ".")
    said = run([sys.executable, "-m", *pytest_strictly], example, environment)
    assert "5 passed" in said


def test_it_is_listed(run: Run, example: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "retinue_workers", "plugins", "--json"]
    said = run(command, example, environment)
    [found] = [one for one in json.loads(said) if one["name"] == "photo-quality"]
    assert found["distribution"] == "retinue-quality"
    assert set(found["options"]) == {"min_sharpness", "min_brightness", "max_brightness"}


def test_a_worker_applies_it(
    run: Run, folder: Path, environment: dict[str, str], blocks: list[Any]
) -> None:
    try:
        EmulatorEnvironment().ensure()
    except LaptopError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no network for the emulator: {error}")
    (folder / ".retinue").mkdir()
    for name in ("AWS_ENDPOINT_URL", "LOCALSTACK_HOST", "EDGE_PORT"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "retinue_workers", "run", "--detectors", "photo-quality"]
    said = run(command, folder, environment)
    [shown] = [block for block in blocks if block.page == PAGE and block.language == "text"]
    for line in shown.code.splitlines():
        assert " ".join(line.split()) in [" ".join(other.split()) for other in said.splitlines()]


def test_the_snippets_run(blocks: list[Any]) -> None:
    snippets = [
        block
        for block in blocks
        if block.page == PAGE and block.language == "python" and not FILE.match(block.title)
    ]
    assert snippets
    for snippet in snippets:
        exec(compile(snippet.code, snippet.page, "exec"), {})
