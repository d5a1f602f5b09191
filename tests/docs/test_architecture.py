"""Files, folders, steps and threads that the architecture names exist."""

import re
import tomllib
from pathlib import Path

FILE = re.compile(r"`((?:[a-z_]+/)*[a-z0-9_]+\.(?:py|sql|toml|ini|json|html|tf|yml))`")
FOLDER = re.compile(r"^\| `([a-z_/]+)/` \| (?:`(retinue_\w+)`)?", re.MULTILINE)
STEP = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| ", re.MULTILINE)
THREADS = re.compile(r"DaemonThreads\(\"([a-z-]+)\"")
SOURCES = ("sdk", "aws", "migrations", "workers", "cli", "console")


def page(root: Path) -> str:
    return (root / "docs/architecture.md").read_text("utf-8")


def test_files_exist(root: Path) -> None:
    sources = [root / part / "src" for part in SOURCES]
    named = set(FILE.findall(page(root)))
    assert named
    missing = {name for name in named if not any(list(s.rglob(name)) for s in sources)}
    assert missing == set()


def test_every_package_has_its_folder(root: Path) -> None:
    _, _, folders = page(root).partition("## Folders")
    folders, _, subpackages = folders.partition("Inside `retinue_workers`")
    named = dict(FOLDER.findall(folders))
    for folder, package in named.items():
        path = root / folder
        assert (path / "src" / package if package else path).is_dir(), folder
    workspace = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["uv"]
    assert set(workspace["workspace"]["members"]) <= set(named)
    worker = root / "workers/src/retinue_workers"
    known = {file.parent.name for file in worker.glob("*/__init__.py")}
    assert {folder for folder, _ in FOLDER.findall(subpackages)} == known


def test_the_steps_are_those_of_the_dispatcher(root: Path) -> None:
    _, _, path = page(root).partition("## The path of one image")
    path, _, _ = path.partition("\n## ")
    dispatch = root / "workers/src/retinue_workers/dispatch"
    source = "".join(
        (dispatch / name).read_text("utf-8") for name in ("dispatcher.py", "attempts.py")
    )
    steps = [step for cell in STEP.findall(path) for step in re.findall(r"\w+", cell)]
    assert len(steps) > 10
    assert [step for step in steps if f"{step}(" not in source] == []


def test_every_kind_of_thread_is_listed(root: Path) -> None:
    names = {
        name
        for file in (root / "workers/src").rglob("*.py")
        for name in THREADS.findall(file.read_text("utf-8"))
    }
    assert "history" in names
    assert {name for name in names if f"`retinue-{name}`" not in page(root)} == set()
