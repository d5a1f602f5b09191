"""A plugin that cannot be used stops those who want it, and nobody else."""

import signal
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, PathDistribution, version
from pathlib import Path
from typing import Any

import pytest
from fakes.plugin import Pixels
from retinue_sdk import ConfigurationError, Findings, Image
from retinue_sdk.plugins.manager import Plugins

GOOD = EntryPoint("fakes", "fakes.plugin", "retinue")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Installs a distribution of one module, as far as metadata go."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []

    def install(name: str, code: str, *requires: str) -> EntryPoint:
        names.append(name)
        (tmp_path / f"{name}.py").write_text(code)
        metadata = tmp_path / f"{name}-1.2.dist-info"
        metadata.mkdir()
        lines = [f"Name: {name}", "Version: 1.2", *(f"Requires-Dist: {each}" for each in requires)]
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")
        (metadata / "entry_points.txt").write_text(f"[retinue]\n{name} = {name}\n")
        [point] = PathDistribution(metadata).entry_points
        return point

    yield install
    for name in names:
        sys.modules.pop(name, None)


def refusal(plugins: Plugins, name: str = "wanted") -> str:
    with pytest.raises(ConfigurationError) as caught:
        plugins.make({name: {}})
    return str(caught.value)


@pytest.mark.parametrize(
    ("code", "requires", "told"),
    [
        (
            "",
            "retinue-sdk<0.1",
            (
                "plugin acme of acme 1.2 was written for retinue-sdk <0.1, and "
                f"{version('retinue-sdk')} is installed: "
                "install a version of acme for it, or uninstall acme"
            ),
        ),
        (
            "import torch_of_nobody",
            "retinue_sdk>=0.1",
            (
                "acme.py, line 1): the module 'torch_of_nobody' is not installed; install it into "
                "this environment, or uninstall acme"
            ),
        ),
        (
            "from retinue_sdk import Gone",
            "Retinue.SDK",
            "ImportError: cannot import name 'Gone'",
        ),
        ("1/0", "retinue-sdk ; python_version > '3'", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_named_or_skipped(
    installed: Any, logged: list[dict[str, Any]], code: str, requires: str, told: str
) -> None:
    plugins = Plugins((installed("acme", code, requires, "not a requirement !"), GOOD))
    [problem] = plugins.problems
    assert told in problem
    assert "\n" not in problem
    assert problem in refusal(plugins)
    [detector] = plugins.make({"pixels": {}})
    assert isinstance(detector, Pixels)
    warnings = [entry for entry in logged if entry["event"] == "plugin_skipped"]
    assert [entry["problem"] for entry in warnings] == [problem]


def test_two_plugins_of_one_name_are_named(installed: Any) -> None:
    code = "from fakes.plugin import retinue_register_detectors"
    other = installed("fakes_again", code)
    twin = EntryPoint("fakes", "fakes_again", "retinue")
    [problem] = Plugins((GOOD, twin)).problems
    assert "two plugins are named fakes" in problem
    assert Plugins((GOOD,)).problems == []
    assert other.name == "fakes_again"


def test_a_contested_name_stops_those_who_want_it_only(
    installed: Any, logged: list[dict[str, Any]]
) -> None:
    other = installed(
        "acme",
        "from fakes.plugin import Bytes as Other\nfrom retinue_sdk import hookimpl\n"
        "@hookimpl\ndef retinue_register_detectors(register): register(Other)\n",
    )
    plugins = Plugins((GOOD, other))
    assert "'bytes' is registered by fakes.plugin and by acme" in refusal(plugins, "bytes")
    assert len(plugins.make({"pixels": {}})) == 1
    assert any("'bytes'" in entry.get("problem", "") for entry in logged)


# Plugins that are one file.

ONE_FILE = '''
"""Measures nothing."""
from retinue_sdk import Capabilities, Detector, DetectorOptions, Findings, Input

class Quiet(Detector[DetectorOptions]):
    """Finds nothing."""
    name = "quiet"
    version = "1"
    capabilities = Capabilities(Input.PIXELS)

    def detect(self, images):
        return [Findings() for _ in images]
'''


def test_a_file_with_a_detector_is_a_plugin(tmp_path: Path) -> None:
    (tmp_path / "quiet.py").write_text(ONE_FILE)
    (tmp_path / "_helper.py").write_text("1/0")
    (tmp_path / "notes.txt").write_text("no Python")
    plugins = Plugins((), folder=tmp_path)
    assert plugins.problems == []
    registration = plugins.registrations["quiet"]
    assert registration.distribution == str(tmp_path / "quiet.py")
    [detector] = plugins.make({"quiet": {}})
    assert detector.detect([Image.from_bytes(b"?")]) == [Findings()]


CTRL_C = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"


@pytest.mark.parametrize(
    "code",
    [
        CTRL_C,
        f"""{ONE_FILE}
    def __init__(self, options):
        {CTRL_C}
""",
    ],
    ids=["loading", "made"],
)
def test_ctrl_c_in_a_plugins_code_ends_the_program(tmp_path: Path, code: str) -> None:
    """Unlike a KeyboardInterrupt that a plugin raises, which is one more mistake of its own."""
    (tmp_path / "quiet.py").write_text(code)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        Plugins((), folder=tmp_path).make({"quiet": {}})
    assert signal.getsignal(signal.SIGINT) is before
    (tmp_path / "quiet.py").write_text("raise KeyboardInterrupt")
    assert len(Plugins((), folder=tmp_path).problems) == 1


def test_a_file_may_have_hooks(tmp_path: Path) -> None:
    hooks = (
        "\nfrom retinue_sdk import hookimpl\n@hookimpl\ndef retinue_register_detectors(register):\n"
        "    register(type('Other', (Quiet,), {'name': 'other'}))\n"
    )
    (tmp_path / "two.py").write_text(ONE_FILE + hooks)
    assert set(Plugins((), folder=tmp_path).registrations) == {"other"}


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("x = 1\ny = x +\n", "(line 2): SyntaxError"),
        ("x = 1\n\nimport torch_of_nobody\n", "(line 3): the module 'torch_of_nobody' is not"),
        ("def f():\n    raise RuntimeError('boom')\nf()\n", "(line 2): RuntimeError: boom"),
        ("x = 1\n", "defines no detector: give it a subclass of retinue_sdk.Detector,"),
        (
            (
                "import retinue_sdk as s\nclass D(s.Detector):\n    name, version = 'd', '1'\n"
                "    def detect(self, images): return []\n"
            ),
            ": the detector D lacks capabilities",
        ),
        ("import sys\nsys.exit(3)\n", "(line 2): SystemExit: 3"),
    ],
)
def test_a_mistake_in_a_file_is_named_by_file_and_line(
    tmp_path: Path, code: str, told: str
) -> None:
    (tmp_path / "mine.py").write_text(code)
    (tmp_path / "quiet.py").write_text(ONE_FILE)
    plugins = Plugins((), folder=tmp_path)
    [problem] = plugins.problems
    assert str(tmp_path / "mine.py") in problem
    assert told in problem
    assert set(plugins.registrations) == {"quiet"}


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="RETINUE_PLUGINS_DIR"):
        Plugins((), folder=tmp_path / "gone")
