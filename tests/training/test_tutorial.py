"""The tutorial's commands, as a person runs them: some minutes, so `make test-faults` does it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_tutorial_ends_with_a_detector_of_logos(tmp_path: Path) -> None:
    page = (ROOT / "docs/tutorial-logos.md").read_text("utf-8")
    commands = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    printed = [
        subprocess.run(
            command.replace(".venv/bin/", f"{Path(sys.executable).parent}/"),
            shell=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        for command in commands
    ]
    made, trained, found = printed
    assert "logos/train.json" in made
    card = json.loads((tmp_path / "models/logos/1/card.json").read_text("utf-8"))
    names = {part: set() for part in ("train", "validation", "test")}
    for image in card["data"]["images"]:
        names[image["part"]].add(Path(image["name"]).stem.split("-", 1)[1])
    assert not names["test"] & (names["train"] | names["validation"])
    assert not names["train"] & names["validation"]
    assert len(card["labels"]) == 5
    assert card["f1"] > 0.6
    assert f"F1 {card['f1']:.3f}" in trained
    assert "0001-" in found
