"""Trainings that are killed at any moment continue, and end with the same model."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from training.conftest import SIDE, tile

TEXTURES = ("brick", "grass")

KILLED = """
import os, sys
from contextlib import contextmanager
from retinue_cli.app import retinue
from retinue_cli.output import training_progress as progress
from retinue_cli.training.local import card

stage, done, number = sys.argv.pop(1).split("-")

def kill(*args):
    os.kill(os.getpid(), int(number))

if stage == "samples":
    card.draw_samples = kill

@contextmanager
def deadly():
    def show(state):
        if (state.stage, state.done) == (stage, int(done)):
            kill()
    yield show

progress.training_progress = deadly
retinue()
"""


def train(
    home: str, kind: str, *, killed_at: str | None = None, by: signal.Signals = signal.SIGKILL
) -> int:
    """Train in a process of its own, and return its exit code."""
    killed = ["-c", KILLED, f"{killed_at}-{by.value}"]
    program = ["-m", "retinue_cli"] if killed_at is None else killed
    command = [sys.executable, *program, "models", "train", "parts", "--on", "local"]
    command += ["--kind", kind, "--from", "parts.json", "--models", home]
    return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a COCO file of textures on grey, each with its box."""
    monkeypatch.chdir(tmp_path)
    images, annotations = [], []
    for number in range(14):
        picture = tile(TEXTURES[number % 2], number // 2).resize((SIDE // 2, SIDE // 2))
        whole = tile("gravel", number).point(lambda value: value // 2)
        whole.paste(picture, (16 + 2 * number, 40))
        whole.save(f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png"})
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": number % 2,
                "bbox": [16 + 2 * number, 40, SIDE // 2, SIDE // 2],
            }
        )
    categories = [{"id": number, "name": name} for number, name in enumerate(TEXTURES)]
    file = {"images": images, "annotations": annotations, "categories": categories}
    Path("parts.json").write_text(json.dumps(file), "utf-8")


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["labels", "objects"])
def test_a_killed_training_continues_with_the_same_result(parts: None, kind: str) -> None:
    for moment in ("features-9", "epochs-1", "epochs-4", "samples-1"):
        assert train("killed", kind, killed_at=moment) == -signal.SIGKILL
        assert not Path("killed/parts/1").exists()
        if moment == "epochs-4":
            shutil.copytree("killed", "stopped")
    assert list(Path("killed/parts/.cache").glob("state-*")) or kind == "labels"
    assert train("killed", kind) == 0
    assert train("whole", kind) == 0
    killed, whole = (Path(home) / "parts/1" for home in ("killed", "whole"))
    assert (killed / "model.onnx").read_bytes() == (whole / "model.onnx").read_bytes()
    assert (killed / "card.json").read_text("utf-8") == (whole / "card.json").read_text("utf-8")
    assert not list(Path("killed/parts/.cache").glob("*.[0-9]*")), "no half-written files"
    assert not list(Path("killed/parts/.cache").glob("view-*")), "large files are deleted"
    if kind == "objects":
        # Ctrl-C as soon as it continues keeps the best of the killed training.
        assert train("stopped", kind, killed_at="features-1", by=signal.SIGINT) == 0
        card = json.loads(Path("stopped/parts/1/card.json").read_text("utf-8"))
        assert (card["stopped"], card["epochs"]) == ("interrupted", 3)
        assert train("stopped", kind) == 0
        again = Path("stopped/parts/2/model.onnx")
        assert again.read_bytes() == (whole / "model.onnx").read_bytes()
