"""A plugin from the template works: beside the released wheels, in an environment of its own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
import uv
from PIL import Image as Pillow
from retinue_cli.local import Emulator, Photograph, State, upload, wire
from retinue_cli.local.emulator_environment import EmulatorEnvironment
from retinue_cli.plugin_dev.scaffold import TEMPLATE, PluginNames, write_plugin
from retinue_sdk import ConfigurationError

ROOT = Path(__file__).parents[2]
FILES = {
    "README.md",
    "pyproject.toml",
    "src/acme_logos/__init__.py",
    "src/acme_logos/detector.py",
    "src/acme_logos/plugin.py",
    "src/acme_logos/py.typed",
    "tests/test_conformance.py",
    "tests/test_detector.py",
}
RELEASED = ("retinue-sdk", "retinue-aws", "retinue-history", "retinue-workers", "retinue-cli")

Run = Callable[[Sequence[str | Path], Path], str]


@pytest.fixture(scope="module")
def run() -> Run:
    """Runs a program in a folder; it must succeed."""

    def start(command: Sequence[str | Path], folder: Path) -> str:
        done = subprocess.run(
            command, cwd=folder, env=clean(), capture_output=True, text=True, timeout=110
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return start


def clean() -> dict[str, str]:
    """Return this process's variables, without those that select other environments."""
    foreign = ("RETINUE_", "AWS_", "PYTHONPATH", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Yield a folder with a short path, for the emulator's sockets."""
    path = Path(tempfile.mkdtemp(prefix="rt-")).resolve()
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def plugin(folder: Path) -> Path:
    write_plugin(PluginNames.of("acme-logos"), folder / "plugin")
    return folder / "plugin"


@pytest.fixture(scope="module")
def python(folder: Path, plugin: Path, run: Run) -> Path:
    """Return the Python of a new environment with the released wheels and the plugin."""
    find = uv.find_uv_bin()
    for name in RELEASED:
        run([find, "build", "--quiet", "--package", name, "--out-dir", folder / "wheels"], ROOT)
    run([find, "venv", "--quiet", "--python", sys.executable, folder / "venv"], folder)
    python = folder / "venv/bin/python"
    install = [find, "pip", "install", "--quiet", "--python", python]
    wheels = [f"{name} @ {wheel(folder, name)}" for name in RELEASED]
    run([*install, *wheels, f"{plugin}[dev]", "jinja2"], folder)
    return python


def wheel(folder: Path, name: str) -> str:
    [path] = (folder / "wheels").glob(f"{name.replace('-', '_')}-*.whl")
    return path.as_uri()


def test_the_files_are_exactly_these(plugin: Path) -> None:
    found = {str(path.relative_to(plugin)) for path in plugin.rglob("*") if path.is_file()}
    assert found == FILES
    assert not [path for path in FILES if "{{" in (plugin / path).read_text(encoding="utf-8")]


def test_it_is_clean(plugin: Path, run: Run) -> None:
    ruff = [sys.executable, "-m", "ruff"]
    settings = ["--config", ROOT / "pyproject.toml", "--no-cache", "."]
    run([*ruff, "check", *settings], plugin)
    run([*ruff, "format", "--check", *settings], plugin)


def test_its_types_are_right(plugin: Path, run: Run) -> None:
    kept = ROOT / ".mypy_cache/template"  # reading the libraries anew takes 6 s
    run([sys.executable, "-m", "mypy", "--cache-dir", kept, "src", "tests"], plugin)


@pytest.mark.wheels
@pytest.mark.timeout(300)
def test_its_tests_pass_beside_the_released_wheels(
    plugin: Path, python: Path, run: Run, folder: Path
) -> None:
    said = run([python, "-m", "pytest", "-p", "no:cacheprovider", "-q"], plugin)
    assert "passed" in said
    retinue = [python, "-m", "retinue_cli"]
    check = ["plugins", "check", "acme-logos", "--memory-images", "50", "--json"]
    assert json.loads(run([*retinue, *check], folder))["passed"] is True
    run([*retinue, "new-plugin", "another-one", "--directory", folder / "more"], folder)
    another = folder / "more/another-one"
    again = {str(path.relative_to(another)) for path in another.rglob("*.*")}
    assert {name.replace("acme_logos", "another_one") for name in FILES} <= again


@pytest.mark.wheels
@pytest.mark.timeout(300)
def test_a_worker_runs_it(
    python: Path, folder: Path, history_url: str, emulator_environment: EmulatorEnvironment
) -> None:
    picture = Pillow.new("RGB", (200, 100), "black")
    picture.paste("white", (50, 25, 100, 75))
    picture.save(folder / "lamp.png")
    with Emulator(State(folder / ".retinue"), environment=emulator_environment) as emulator:
        endpoint = emulator.endpoint
        wiring = wire(endpoint, "scaffold")
        upload(endpoint, "scaffold", [Photograph(folder / "lamp.png", "lamp.png")])
        variables = endpoint.environment(clean()) | {
            "RETINUE_QUEUE_URL": wiring.queue_url,
            "RETINUE_DATABASE_URL": history_url,
            "RETINUE_DETECTORS": '{"acme-logos": {"min_contrast": 0.5}}',
            "RETINUE_WAIT_TIME_SECONDS": "1",
        }
        command = [python, "-m", "retinue_workers"]
        with subprocess.Popen(command, env=variables, cwd=folder) as worker:
            try:
                rows = committed(history_url, worker)
            finally:
                worker.terminate()
    [(key, detector, label, left)] = rows
    assert (key, detector, label, left) == ("lamp.png", "acme-logos", "Brightest part", 0.25)


def committed(url: str, worker: "subprocess.Popen[bytes]") -> list[tuple[object, ...]]:
    """Return the first detections that are in the history."""
    deadline = time.monotonic() + 60
    with psycopg.connect(url, autocommit=True) as connection:
        while time.monotonic() < deadline and worker.poll() is None:
            rows = connection.execute(
                "SELECT key, detector, label, box_left FROM latest_detections"
            ).fetchall()
            if rows:
                return rows
            time.sleep(0.1)
    return []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Acme", "such as acme-logos"),
        ("acme_logos", "such as acme-logos"),
        ("-acme", "such as acme-logos"),
        ("acme--logos", "such as acme-logos"),
        ("../acme", "such as acme-logos"),
        ("", "such as acme-logos"),
        ("a" * 61, "at most 60 characters"),
        ("json", "Python module"),
        ("class", "Python module"),
        ("retinue-sdk", "Retinue itself"),
    ],
)
def test_a_bad_name_is_refused(name: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        PluginNames.of(name)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ConfigurationError, match="nothing is overwritten"):
        write_plugin(PluginNames.of("acme-logos"), tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_the_template_is_the_one_beside_the_plugins() -> None:
    assert TEMPLATE.resolve() == ROOT / "plugins/_template"
