"""Run the package uv, which installs further packages on a laptop."""

import subprocess
from pathlib import Path

from retinue_cli.local.errors import LaptopError

INSTALL_SECONDS = 300
"""Time limit of an installation."""


class UvError(Exception):
    """uv failed. The message is its output, indented."""


def run_uv(*arguments: str | Path, cwd: Path) -> None:
    """Run uv, quietly.

    Args:
        arguments: Its arguments.
        cwd: The folder it runs in. Settings of a project in this folder apply.

    Raises:
        UvError: uv failed.
        LaptopError: The package has lost its program.
    """
    import uv

    try:
        program = uv.find_uv_bin()
    except FileNotFoundError as error:
        raise LaptopError(
            "the package uv has lost its program; install it again: "
            "`pip install --force-reinstall uv`"
        ) from error
    try:
        subprocess.run(  # noqa: S603 - no shell, and a program of a package's
            [program, *arguments, "--quiet"],
            check=True,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=INSTALL_SECONDS,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        output = error.output.decode() if isinstance(error.output, bytes) else error.output
        lines = (output or str(error)).strip().splitlines()
        raise UvError("\n".join(f"    {line}" for line in lines)) from error
