"""The wheels are installed by pip and used outside the clone; ``make test-wheels`` builds them."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uv

from tools.release import current_version

ROOT = Path(__file__).parents[2]
WHEELS = ROOT / "dist"
NEWER = ("3.14", "3.13", "3.12")

pytestmark = [pytest.mark.wheels, pytest.mark.timeout(600)]

Run = Callable[..., str]


def find_python(version: str) -> str | None:
    """Find an interpreter of a version here, also one that pyenv doesn't select."""
    command = [uv.find_uv_bin(), "python", "find", "--no-project", "--no-python-downloads", version]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = sorted(str(path) for path in pyenv.glob(f"versions/{version}.*/bin/python"))
    return done.stdout.strip() or next(iter(kept), None)


@pytest.fixture(params=os.environ.get("WHEELS_PYTHONS", "").split() or ["this", "newest"])
def python(request: pytest.FixtureRequest) -> str:
    """Return an interpreter: each requested version, or this one and the newest one."""
    match request.param:
        case "this":
            return sys.executable
        case "newest":
            own = f"{sys.version_info.major}.{sys.version_info.minor}"
            found = [path for v in NEWER if v > own and (path := find_python(v))]
            return found[0] if found else pytest.skip(f"no Python newer than {own} is here")
        case version:
            path = find_python(version)
            return path or pytest.fail(f"Python {version} isn't installed here")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder outside the clone, with a short path for PostgreSQL's socket."""
    path = Path(tempfile.mkdtemp(prefix="rt-")).resolve()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def run(folder: Path) -> Run:
    """Runs a program in the folder with the environment's programs first; it must succeed."""
    foreign = ("RETINUE_", "AWS_", "PYTHON", "VIRTUAL_ENV", "UV_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    clean["PATH"] = f"{folder}/venv/bin:{os.environ['PATH']}"

    def start(*command: str | Path) -> str:
        done = subprocess.run(
            command, cwd=folder, env=clean, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return start


def test_retinue_is_installed_and_used_without_the_clone(
    python: str, folder: Path, run: Run
) -> None:
    run(python, "-m", "venv", "venv")
    pip = (
        "venv/bin/python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--find-links",
        WHEELS,
    )
    run(*pip, "retinue[local]")

    assert run("retinue", "--version").split()[-1] == current_version(ROOT)
    assert "query" in run("retinue", "--help")

    (folder / "photos").mkdir()
    shutil.copy(ROOT / "docs/astronaut.jpg", folder / "photos")
    assert re.search(r"astronaut.jpg +onnx-objects +person", run("retinue", "run", "photos/"))
    question = "select distinct label from latest_detections where detector = 'onnx-faces'"
    assert run("retinue", "query", question, "--format", "csv").split() == ["label", "Face"]

    run("retinue", "new-plugin", "acme-logos")
    run(*pip, "--editable", "my-plugins/acme-logos[dev]")
    assert "passed" in run("pytest", "-q", "my-plugins/acme-logos")
    assert "acme-logos" in run("retinue", "plugins")
