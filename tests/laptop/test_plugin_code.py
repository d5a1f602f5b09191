import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from retinue_cli.local.plugin_code import PluginCode
from retinue_sdk import AnyDetector
from retinue_sdk.plugins.manager import Plugins

ONE_FILE = """
from retinue_sdk import Capabilities, Detector, DetectorOptions, Findings, Input

class Lamps(Detector[DetectorOptions]):
    name = "lamps"
    version = "1"
    capabilities = Capabilities(input=Input.BYTES)

    def detect(self, images):
        return [Findings() for _ in images]
"""


@pytest.fixture
def plugins(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "plugins").mkdir()
    yield tmp_path / "plugins"
    sys.modules.pop("retinue_plugin_file_lamps", None)


def lamps(plugins: Path, source: str) -> AnyDetector:
    (plugins / "lamps.py").write_text(source)
    [made] = Plugins(folder=plugins).make({"lamps": {}})
    return made


def test_changed_code_is_noticed_until_the_version_is_raised(tmp_path: Path, plugins: Path) -> None:
    def changed(source: str, *, again: bool = False) -> bool:
        code = PluginCode(tmp_path / "code.json")
        made = [lamps(plugins, source)]
        if again:
            code.renew(made)
        found = code.changed(made)
        code.save()
        return bool(found)

    better = ONE_FILE + "# better"
    assert not changed(ONE_FILE)
    assert not changed(ONE_FILE)
    assert changed(better)
    assert changed(better), "what was found before is still there"
    assert not changed(better, again=True)
    assert not changed(better)
    assert not changed(ONE_FILE.replace('"1"', '"2"'))


def test_retinues_own_detectors_raise_their_versions(tmp_path: Path) -> None:
    (tmp_path / "code.json").write_text("{}")
    code = PluginCode(tmp_path / "code.json")
    made = Plugins().make({"echo": {}})
    assert code.changed(made) == []
    code.save()
    assert set((tmp_path / "code.json").read_text().split('"')[3::4]) == {""}
