"""Programs of the operating system that tests need: CI installs them, a laptop may lack them."""

import os
import shutil
import subprocess
from collections.abc import Mapping

import pytest
from filelock import FileLock
from platformdirs import user_cache_path


class ProgramsMissingError(Exception):
    """Programs are not installed; the message says how to get them."""


def ensure_programs(packages: Mapping[str, str]) -> None:
    """Have programs on the path; in CI, install those that are missing.

    Args:
        packages: The Debian package of each program.

    Raises:
        ProgramsMissingError: One is missing.
    """
    if _missing(packages) and os.environ.get("CI") and shutil.which("apt-get"):
        # apt-get waits for dpkg's lock but not for its own, and tests run side by side.
        cache = user_cache_path("retinue", appauthor=False, ensure_exists=True)
        with FileLock(cache / "programs.lock", timeout=280):
            names = sorted(set(packages.values()))
            for command in (["update"], ["install", "-y", "--no-install-recommends", *names]):
                if _missing(packages):
                    subprocess.run(
                        ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", *command],
                        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                        check=True,
                        timeout=280,
                    )
    if missing := _missing(packages):
        raise ProgramsMissingError(
            f"{', '.join(missing)} not found: "
            f"`apt-get install {' '.join(sorted({packages[name] for name in missing}))}`"
        )


def skip_without(packages: Mapping[str, str]) -> None:
    """Skip the test that calls this where programs are missing, but not in CI."""
    try:
        ensure_programs(packages)
    except ProgramsMissingError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def _missing(packages: Mapping[str, str]) -> list[str]:
    return [program for program in packages if shutil.which(program) is None]
