"""Python environments for benchmarks: what the container image holds, and what baselines need."""

import hashlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

ROOT = Path(__file__).parents[2]
CELERY = ("celery[sqs]==5.7.0", "boto3==1.44.5", "psycopg[binary]>=3.2")
"""Celery with its SQS transport, which brings pycurl."""


OURS = ("sdk", "aws", "history", "workers", "cli", "onnx", "rekognition", "eventbridge")
"""Our own packages in the container image."""


@cache
def image_python() -> Path:
    """The interpreter of an environment with the packages of the container image alone.

    Ours are installed and compiled, as there: to compile them at each start takes a second.
    """
    name = hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
    place = user_cache_path("retinue", appauthor=False) / f"image-{name}"
    environment = os.environ | {"UV_PROJECT_ENVIRONMENT": str(place)}
    what = ["--no-default-groups", "--only-group", "image", "--python", sys.executable]
    anew = [part for name in OURS for part in ("--reinstall-package", f"retinue-{name}")]
    compiled = ["--frozen", "--no-editable", "--compile-bytecode", "--quiet"]
    _run([*_uv(), "sync", *compiled, *anew, *what], environment)
    return place / "bin" / "python"


def celery_python() -> Path:
    """The interpreter of an environment with Celery."""
    name = hashlib.sha256("".join(CELERY).encode()).hexdigest()[:8]
    place = user_cache_path("retinue", appauthor=False) / f"celery-{name}"
    python = place / "bin" / "python"
    if not (place / "complete").exists():
        _run([*_uv(), "venv", "--quiet", "--clear", "--python", sys.executable, str(place)])
        _run([*_uv(), "pip", "install", "--quiet", "--python", str(python), *CELERY])
        (place / "complete").touch()
    return python


def _uv() -> list[str]:
    return [sys.executable, "-m", "uv"]


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
