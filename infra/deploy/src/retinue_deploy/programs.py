"""Run other programs, with their output in the journal."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from retinue_deploy.errors import ProgramError
from retinue_deploy.journal import Journal

_TAIL_LINES = 25
_LINE_WIDTH = 120

TELL_SECONDS = 30.0
"""How often a long command's last line is shown. Terraform prints one every ten seconds."""


class Programs:
    """Runs programs.

    Args:
        journal: Receives the command and all output, but not stdin.
        environment: Variables of every program.
    """

    def __init__(self, journal: Journal, environment: Mapping[str, str] = os.environ) -> None:
        self._journal = journal
        self._environment = environment

    def run(
        self,
        command: Sequence[str | Path],
        *,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        secret: str | None = None,
        quiet: bool = False,
    ) -> str:
        """Run a program to its end.

        Args:
            command: Program and arguments. They must not contain secrets, because other users can
                read them.
            folder: The working directory.
            environment: Additional variables.
            secret: Its stdin.
            quiet: Don't write stdout to the journal.

        Returns:
            Its stdout.

        Raises:
            ProgramError: It failed. The error has the end of its output.
        """
        self._journal.note("$ " + " ".join(map(str, command)))
        with subprocess.Popen(  # noqa: S603 - no shell; the programs are named in this package
            list(map(str, command)),
            cwd=folder,
            env={**self._environment, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if quiet else subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            try:
                if secret is None and not quiet:
                    said, complaint = self._follow(process), ""
                else:
                    said, complaint = process.communicate(secret)
                    self._journal.note((complaint or "") if quiet else said)
            except KeyboardInterrupt:
                # Ctrl-C reached the program, too. Terraform needs time to save its
                # state and to unlock it.
                self._journal.say(f"  stopping: waiting for {Path(str(command[0])).name} to end")
                process.wait()
                raise
        if process.returncode != 0:
            everything = "\n".join(part for part in (said, complaint) if part)
            tail = "\n".join(f"    {line}" for line in everything.splitlines()[-_TAIL_LINES:])
            raise ProgramError(
                f"{Path(str(command[0])).name} ended with exit code {process.returncode}:\n{tail}",
                everything,
            )
        return said

    def _follow(self, process: "subprocess.Popen[str]") -> str:
        """Write each line to the journal, and print one regularly to show progress."""
        if process.stdin is not None:
            process.stdin.close()
        lines, said_at = [], time.monotonic()
        for line in process.stdout or ():
            self._journal.note(line)
            lines.append(line)
            if line.strip() and time.monotonic() - said_at >= TELL_SECONDS:
                said_at = time.monotonic()
                self._journal.say(f"  … {line.strip()}"[:_LINE_WIDTH], noted=False)
        return "".join(lines)
