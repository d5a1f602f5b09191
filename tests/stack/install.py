"""Python environments for the emulators, as each pins libraries that ours pins otherwise."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path
from retinue_cli.local.emulator_environment import EmulatorEnvironment
from stack.services import Emulator
from uv import find_uv_bin

HERE = Path(__file__).parent
REQUIREMENTS = {
    Emulator.LOCALSTACK: HERE / "localstack_requirements.txt",
    Emulator.MOTO: HERE / "moto_requirements.txt",
}


def python_of(emulator: Emulator) -> Path:
    """Return the interpreter that has an emulator; `install` makes it."""
    if emulator is Emulator.MINISTACK:
        return EmulatorEnvironment().python
    content = hashlib.sha256(REQUIREMENTS[emulator].read_bytes()).hexdigest()[:8]
    major, minor = sys.version_info[:2]
    folder = f"{emulator}-python{major}.{minor}-{content}"
    return user_cache_path("retinue", appauthor=False) / folder / "bin" / "python"


def install(emulators: set[Emulator]) -> None:
    """Make the environments that are not there yet, all at the same time.

    Raises:
        subprocess.CalledProcessError: One cannot be made; uv has said why on standard error.
        LaptopError: ministack's cannot be made.
    """
    wanted = sorted(emulators - {Emulator.OURS})
    with ThreadPoolExecutor() as pool:
        list(pool.map(_ensure, wanted))


def _ensure(emulator: Emulator) -> None:
    python = python_of(emulator)
    if python.exists():
        return
    sys.stderr.write(f"installing {emulator}, once\n")
    if emulator is Emulator.MINISTACK:
        EmulatorEnvironment().ensure()
        return
    folder = python.parents[1]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if python.exists():
            return
        # Under another name until it is complete: what is there is whole.
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
        try:
            _uv("venv", "--python", sys.executable, str(draft / "environment"))
            _uv(
                *("pip", "install", "--python", str(draft / "environment" / "bin" / "python")),
                *("--no-deps", "--requirement", str(REQUIREMENTS[emulator])),
            )
            (draft / "environment").rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _uv(*arguments: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    subprocess.run([find_uv_bin(), *arguments, "--quiet"], check=True, env=environment, timeout=600)
