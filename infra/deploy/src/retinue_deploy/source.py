"""Compute the image's tag from the sources of this checkout."""

import hashlib
import subprocess
import tomllib
from pathlib import Path

from retinue_deploy.errors import DeployError

CONTEXT = ("pyproject.toml", "uv.lock", ".dockerignore", "LICENSE", "sdk", "aws", "migrations",
           "workers", "cli", "console", "plugins", "infra/image")  # fmt: skip
"""The files in the image. Other changes need no new image."""


def revision(root: Path) -> str:
    """Return the current commit."""
    return _git(root, "rev-parse", "--short=12", "HEAD").strip()


def project_version(root: Path) -> str:
    """Return the version of all distributions, which the root's ``pyproject.toml`` states."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


def image_tag(root: Path) -> str:
    """Return a tag for these sources: the commit, and a hash of uncommitted changes.

    The same sources have the same tag. Tags in ECR are immutable.

    Raises:
        DeployError: This isn't a git repository.
    """
    changed = _git(root, "diff", "HEAD", "--binary", "--", *CONTEXT).encode()
    listed = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *CONTEXT)
    untracked = sorted(name for name in listed.split("\0") if name)
    if not changed and not untracked:
        return revision(root)
    digest = hashlib.sha256(changed)
    for name in untracked:
        digest.update(f"\0{name}\0".encode())
        digest.update((root / name).read_bytes())
    return f"{revision(root)}-{digest.hexdigest()[:8]}"


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - no shell
        ["git", "-C", root, *arguments],  # noqa: S607 - from PATH
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise DeployError(
            f"git cannot identify this checkout ({done.stderr.strip()}): deploy from a clone of "
            "the repository, or set IMAGE_TAG="
        )
    return done.stdout
