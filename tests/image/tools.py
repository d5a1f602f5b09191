"""Find or install the programs for building and starting an image without a Docker engine."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from fakes.programs import ProgramsMissingError, ensure_programs
from filelock import FileLock
from platformdirs import user_cache_path

SUITE = "bookworm"
"""Debian 12, on which the published base image stands as well. Its Python is 3.11."""

PACKAGES = {
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}
"""The Debian package of each program."""

_BASE_PACKAGES = "ca-certificates,python3,python3-venv"


class ToolsMissingError(Exception):
    """Something is not installed or not allowed here; the message says what to do."""


def ensure_tools() -> None:
    """Have every program; in CI they are installed, on a laptop they are asked for.

    Raises:
        ToolsMissingError: They are not there, or we are not root.
    """
    if os.geteuid() != 0:
        raise ToolsMissingError("the image's tests make mounts: run them as root")
    try:
        ensure_programs(PACKAGES)
    except ProgramsMissingError as error:
        raise ToolsMissingError(str(error)) from error


def _cache() -> Path:
    cache = user_cache_path("retinue", appauthor=False)
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def base_archive() -> Path:
    """Return a tar file with a small Debian and its Python; made once per user, by debootstrap.

    It stands in for the published base image, which only a registry has.
    """
    cache = _cache()
    archive = cache / f"image-base-{SUITE}-1.tar"
    with FileLock(cache / "image-base.lock", timeout=280):
        if not archive.exists():
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                root = Path(folder, "root")
                run(
                    ["debootstrap", "--variant=minbase", f"--include={_BASE_PACKAGES}", SUITE, root]
                )
                for scrap in ("var/cache/apt/archives", "var/lib/apt/lists"):
                    shutil.rmtree(root / scrap)
                draft = Path(folder, "base.tar")
                run(["tar", "--create", "--file", draft, "--directory", root, "."])
                draft.rename(archive)
    return archive


def run(command: list[str | Path], **environment: str) -> str:
    """Run a program that must succeed; what it prints."""
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4_000:]}\n{done.stderr[-4_000:]}"
    return done.stdout
