"""`make run` hands on what a person names, whatever characters it has."""

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "name", ["it's.jpg", 'a "b" $HOME `id`.jpg', "-x", "ü #1; false", "$(BIN)"]
)
def test_names_reach_the_command_as_they_are(tmp_path: Path, name: str) -> None:
    shutil.copy(Path(__file__).parents[2] / "Makefile", tmp_path)
    program = tmp_path / ".venv/bin/retinue"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    for file in ("pyproject.toml", "uv.lock", ".venv/for-use"):  # nothing is to be installed
        (tmp_path / file).touch()
    detectors = f"acme:text={name}"
    said = subprocess.run(
        ["make", "--silent", "run", f"IMAGES={name}", f"DETECTORS={detectors}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.splitlines() == ["run", "--detectors", detectors, "--", name]
