"""The tutorial works from its text alone: every command and file of docs/plugins.md, in order."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uv
from retinue_cli.local import LaptopError
from retinue_cli.local.emulator_environment import EmulatorEnvironment

PAGE = "docs/plugins.md"
FILE = re.compile(r"^`(my-plugins/[\w./-]+)`$")
PROGRAMS = {"pytest": "pytest", "retinue": "retinue_cli"}


@pytest.fixture
def folder(root: Path) -> Iterator[Path]:
    """Return a folder like a clone, with an environment like this one."""
    path = Path(tempfile.mkdtemp(prefix="rt-")).resolve()  # short, for PostgreSQL's socket
    environment = path / ".venv"
    subprocess.run(
        [uv.find_uv_bin(), "venv", "--quiet", "--python", sys.executable, environment], check=True
    )
    [packages] = environment.glob("lib/python*/site-packages")
    here = sysconfig.get_path("purelib")
    (packages / "clone.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    (environment / "bin/uv").symlink_to(uv.find_uv_bin())
    for program, module in PROGRAMS.items():
        script = environment / "bin" / program
        script.write_text(f'#!/bin/sh\nexec "{environment}/bin/python" -m {module} "$@"\n')
        script.chmod(0o755)
    (path / "Makefile").write_text(
        "run:\n\t@retinue run $(if $(DETECTORS),--detectors '$(DETECTORS)')\n"
    )
    (path / "docs").mkdir()
    shutil.copy(root / "docs/astronaut.jpg", path / "docs")
    (path / ".retinue").mkdir()
    yield path
    shutil.rmtree(path)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_the_tutorial_works(blocks: list[Any], folder: Path) -> None:
    try:
        EmulatorEnvironment().ensure()
    except LaptopError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no network for the emulator: {error}")
    foreign = ("RETINUE_", "AWS_", "LOCALSTACK_", "EDGE_PORT", "VIRTUAL_ENV", "PYTHONPATH", "MAKE")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    said = ""
    executed = []
    for block in (block for block in blocks if block.page == PAGE):
        if file := FILE.match(block.title):
            assert (folder / file[1]).exists(), "the tutorial replaces what the template wrote"
            (folder / file[1]).write_text(block.code, encoding="utf-8")
        elif block.language == "sh":
            # What the clone has installed lies in another environment here: nothing is to be added.
            code = block.code.replace("uv pip install", "uv pip install --no-deps")
            done = subprocess.run(
                ["sh", "-ec", f". .venv/bin/activate\n{code}"],
                cwd=folder,
                env=variables,
                capture_output=True,
                text=True,
                timeout=180,
            )
            said = done.stdout + done.stderr

            assert done.returncode == 0, f"{code}\n{said}"
            executed.append(code)
        elif block.language == "text":
            lines = [" ".join(line.split()) for line in said.splitlines()]
            for line in block.code.splitlines():
                assert any(" ".join(line.split()) in other for other in lines), f"{line}\n{said}"
    assert len(executed) >= 8
