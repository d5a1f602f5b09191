"""The README's commands do what it says: each is executed, in a copy of the repository."""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from acceptance.command_line import CommandLine
from retinue_cli.local import Emulator, State, package_photographs
from retinue_cli.local.emulator_environment import EmulatorEnvironment

PAGE = "README.md"
Run = Callable[[Sequence[str], Path, Mapping[str, str]], str]

RECURSIVE = {"make test", "make check"}
"""Commands that would run this very test; they are only checked to exist."""

LOCALSTACK = "localhost:4566"
"""Where the README supposes a LocalStack; an emulator of the test's own stands in for it."""

CONFIDENCE_TOLERANCE = 0.02
"""How far a printed confidence may be from another machine's, whose kernels round differently."""

LEFT_OUT = shutil.ignore_patterns(
    ".venv", ".retinue", ".site", ".git", "__pycache__", ".*_cache", ".hypothesis"
)


@pytest.fixture
def commands(blocks: list[Any]) -> list[str]:
    """Return every shell command of the README, in order."""
    return [
        line
        for block in blocks
        if block.page == PAGE and block.language == "sh"
        for line in block.code.splitlines()
        if line
    ]


@pytest.fixture
def clone(root: Path) -> Iterator[Path]:
    """Return a copy of the repository that shares its environment, with some photographs."""
    if not (root / ".venv/for-use").exists():  # make would install the copy into it
        if os.environ.get("CI"):
            pytest.fail("the environment was not made by make")
        pytest.skip("the environment was not made by make")
    folder = Path(tempfile.mkdtemp(prefix="rt-"))  # short, for PostgreSQL's socket
    copy = folder / "retinue"
    shutil.copytree(root, copy, ignore=LEFT_OUT)
    for path in copy.rglob("*"):
        os.utime(path, (0, 0))  # older than the environment, or make would install the copy into it
    (copy / ".venv").symlink_to(root / ".venv")
    (copy / ".retinue").mkdir()
    (copy / "photographs/below").mkdir(parents=True, exist_ok=True)
    shutil.copy(package_photographs()[0].path, copy / "photographs/below")
    (copy / "photographs/damaged.jpg").write_bytes(b"no image")
    yield copy
    shutil.rmtree(folder)


@pytest.fixture
def environment() -> dict[str, str]:
    """Return the variables of this process, without those that would lead elsewhere."""
    foreign = ("RETINUE_", "MAKE", "MFLAGS", "AWS_ENDPOINT", "LOCALSTACK_", "EDGE_PORT")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def shape(line: str) -> str:
    """Return a line without what may differ from one machine to the next: spaces and numbers."""
    return " ".join(re.sub(r"\d+", "0", line).split())


def numbers(line: str) -> list[float]:
    """Return the decimal numbers of a line: its confidences."""
    return [float(number) for number in re.findall(r"\d+\.\d+", line)]


def table(shown: str) -> list[str]:
    """Return the lines of the table of findings."""
    lines = shown.splitlines()
    first = next(number for number, line in enumerate(lines) if "confidence" in line)
    last = next(number for number, line in enumerate(lines) if " detections" in line)
    return [line.strip() for line in lines[first:last]]


@pytest.mark.timeout(600)
def test_every_command_works(
    run: Run,
    environment: dict[str, str],
    commands: list[str],
    blocks: list[Any],
    clone: Path,
    emulator_environment: EmulatorEnvironment,
) -> None:
    def shell(command: str) -> str:
        return run(["sh", "-c", command], clone, environment)

    history = CommandLine(clone)
    runs = "select count(*) as runs, max(run_id) as newest from detection_history"
    said = {}
    again = ""
    for command in commands:
        if command in RECURSIVE:
            continue
        if LOCALSTACK in command:
            before = history.query(runs)
            state = State(clone.parent / "localstack")
            with Emulator(state, environment=emulator_environment) as emulator:
                address = emulator.endpoint.url.removeprefix("http://")
                again = said[command] = shell(command.replace(LOCALSTACK, address))
            assert history.query(runs) == before
        else:
            said[command] = shell(command)

    [excerpt] = [block for block in blocks if block.page == PAGE and block.language == "text"]
    printed = excerpt.code.splitlines()
    lines = said["make run"].splitlines()
    first = [shape(line) for line in lines].index(shape(printed[0]))
    for wanted, line in zip(printed, lines[first:], strict=False):
        assert shape(line) == shape(wanted)
        assert numbers(line) == pytest.approx(numbers(wanted), abs=CONFIDENCE_TOLERANCE), line
    annotated = [path.name for path in (clone / ".retinue/annotated").iterdir() if path.is_file()]
    assert len(annotated) == 5
    assert "astronaut.jpg" in annotated
    assert "unsupported_format" in said["make run IMAGES=photographs"]
    [counted] = [text for command, text in said.items() if "count(*)" in command]
    assert "person" in counted

    assert "Nothing new" not in said["make run"]
    assert "Nothing new: all 15 runs were already in the history." in again
    assert table(said["make run"]) == table(again)
    assert {"cat", "person", "Face", "cup"} <= {
        row["label"] for row in history.query("select distinct label from latest_detections")
    }
    people = history.query(
        "select key from latest_detections where label in ('person', 'Face') "
        "group by 1 having count(distinct label) = 2"
    )
    assert {"astronaut.jpg", "grace_hopper.jpg"} <= {row["key"] for row in people}
    assert history.processes() == []
    hold_invented(said["make run DETECTORS=rekognition-labels,rekognition-faces"], history)


def hold_invented(shown: str, history: CommandLine) -> None:
    """Check that answers of an emulator are never shown as Amazon's."""
    shown = " ".join(shown.split())
    warning = (
        "rekognition-labels, rekognition-faces: these answers are not Amazon Rekognition's. "
        "`retinue run` never calls AWS; an emulator answers. It recognises nothing"
    )
    assert shown.count(warning) == 1
    assert shown.count("rekognition-faces: invented by an emulator") == 1  # under the answers
    assert "5 images, 10 runs" in shown
    assert "in detection_history, but not in latest_detections" in shown
    runs = history.query(
        "select outcome, model_version, raw_response->>'Emulator' as mark, detector from runs "
        "where detector like 'rekognition-%'"
    )
    assert [run["outcome"] for run in runs] == ["succeeded"] * 10
    assert {run["mark"] for run in runs} == {
        "invented by Retinue's emulator, not by Amazon Rekognition"
    }
    assert {(run["detector"], run["model_version"]) for run in runs} == {
        ("rekognition-labels", "emulator"),
        ("rekognition-faces", "emulator"),
    }
    latest = "select * from latest_detections where detector like 'rekognition-%'"
    assert history.query(latest) == []


def test_commands_that_are_not_executed_exist(commands: list[str], root: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (root / "Makefile").read_text("utf-8"), re.MULTILINE)
    left_out = [command for command in commands if command in RECURSIVE]
    assert left_out
    assert {command.removeprefix("make ") for command in RECURSIVE} <= set(targets)


def test_the_picture_is_small(root: Path) -> None:
    assert (root / "docs/astronaut.jpg").stat().st_size < 150 * 1024
