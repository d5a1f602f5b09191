"""Report a deployment: one line per step in the terminal, and everything in a file."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from retinue_deploy.errors import DeployError

_KEEP = 20
"""How many logs of earlier commands are kept."""


class Journal:
    """Prints steps with their duration, and keeps the output of every program in a file.

    Args:
        folder: The folder of logs, created if necessary.
        name: The prefix of the file's name.
        out: The terminal.
    """

    def __init__(self, folder: Path, name: str, out: TextIO) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)[:-_KEEP]:
            old.unlink(missing_ok=True)
        self.path = folder / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S}.log"
        self._out = out
        self.path.touch(mode=0o600)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Run a step inside the block. Print its line when it ends or fails."""
        self.note(f"== {title}")
        began = time.monotonic()
        try:
            yield
        except BaseException as error:
            self.say(f"✗ {title}  ({_duration(time.monotonic() - began)})")
            if isinstance(error, DeployError):
                self.note(str(error))
            raise
        self.say(f"✓ {title}  ({_duration(time.monotonic() - began)})")

    def say(self, line: str, *, noted: bool = True) -> None:
        """Print a line, and write it to the file unless the file has it."""
        print(line, file=self._out, flush=True)
        if noted:
            self.note(line)

    def note(self, text: str) -> None:
        """Write only to the file."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text if text.endswith("\n") else f"{text}\n")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
