"""Python environments for benchmarks: what the container image holds, and what baselines need."""

import hashlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).parent / "peers"
OURS = ("sdk", "aws", "history", "workers", "cli", "onnx", "rekognition", "eventbridge")
"""Our own packages in the container image."""


@cache
def image_python() -> Path:
    """Return the interpreter of an environment with the packages of the container image alone.

    Ours are installed and compiled, as there: to compile them at each start takes a second.
    """
    what = ["--no-default-groups", "--only-group", "image"]
    anew = [part for name in OURS for part in ("--reinstall-package", f"retinue-{name}")]
    return _synced("image", ROOT, "--no-editable", *anew, *what)


@cache
def peers_python() -> Path:
    """Return the interpreter of an environment with the baselines' locked packages."""
    return _synced("peers", PEERS)


def _synced(name: str, project: Path, *options: str) -> Path:
    place = user_cache_path("retinue", appauthor=False) / f"{name}-{_digest(ROOT)}"
    command = [sys.executable, "-m", "uv", "sync", "--frozen", "--compile-bytecode", "--quiet"]
    subprocess.run(
        [*command, "--project", str(project), "--python", sys.executable, *options],
        cwd=ROOT,
        env=os.environ | {"UV_PROJECT_ENVIRONMENT": str(place)},
        check=True,
    )
    return place / "bin" / "python"


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:8]
