"""The committed models are what the published packages give."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

PLUGIN = Path(__file__).parents[1]
MODELS = PLUGIN / "src" / "retinue_onnx" / "models"
NAMES = sorted(path.stem for path in MODELS.glob("*.onnx"))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_models_can_be_rebuilt_from_the_packages() -> None:
    """Downloads some 200 MB into a temporary directory; skipped on a laptop without a network."""
    script = PLUGIN / "scripts" / "rebuild_models.py"
    rebuilt = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    if rebuilt.returncode == 3 and not os.environ.get("CI"):
        pytest.skip(rebuilt.stderr.strip())
    assert rebuilt.returncode == 0, rebuilt.stderr


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_tells_which_files_lie_there(name: str) -> None:
    data = (MODELS / f"{name}.onnx").read_bytes()
    section = re.search(rf"^## {name}\.onnx$(.*?)(?=^## |\Z)", text(), re.DOTALL | re.MULTILINE)
    assert section is not None
    assert f"| result | sha256 `{hashlib.sha256(data).hexdigest()}`" in section[1]
    assert f"{len(data):,} bytes" in section[1]
    assert f"`{name}.LICENSE`" in section[1]
    assert (MODELS / f"{name}.LICENSE").stat().st_size > 1_000


@pytest.mark.parametrize("name", NAMES)
def test_the_models_are_valid(name: str) -> None:
    onnx.checker.check_model(onnx.load(MODELS / f"{name}.onnx"), full_check=True)


def test_the_script_and_the_readme_name_the_same_sources() -> None:
    script = (PLUGIN / "scripts" / "rebuild_models.py").read_text(encoding="utf-8")
    for digest in re.findall(r'"([0-9a-f]{64})"', script):
        assert digest in text()


def text() -> str:
    return (MODELS / "README.md").read_text(encoding="utf-8")
