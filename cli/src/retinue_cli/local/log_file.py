"""The log file of a background program."""

from pathlib import Path

MAX_BYTES = 5 * 2**20
_TAIL_BYTES = 16 * 2**10

_CRASH = "Fatal Python error: "
"""The beginning of faulthandler's report."""


class LogFile:
    """A log file, read from the beginning of the latest start.

    Args:
        path: The file. It may be missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start_bytes = 0

    def begin(self) -> None:
        """Mark the beginning of the next start. Empty a file that is too large."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            if file.tell() > MAX_BYTES:
                file.truncate(0)
            self._start_bytes = file.seek(0, 2)

    def lines(self) -> list[str]:
        """Return the lines written since ``begin``; none if the file can't be read."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._start_bytes)
                return file.read().decode("utf-8", errors="replace").splitlines()
        except OSError:
            return []

    def tail(self, lines: int = 12) -> str:
        """Return the last lines since ``begin``, indented for an error message.

        After a crash of native code, return the first lines of its report.
        """
        try:
            with self.path.open("rb") as file:
                size_bytes = file.seek(0, 2)
                file.seek(max(self._start_bytes, size_bytes - _TAIL_BYTES))
                text = file.read().decode("utf-8", errors="replace")
        except OSError as error:
            return f"    (the log cannot be read: {error})"
        written = text.strip().splitlines()
        crashes = [place for place, line in enumerate(written) if line.startswith(_CRASH)]
        last = written[crashes[-1] :][:lines] if crashes else written[-lines:]
        return "\n".join(f"    {line}" for line in last) or "    (it wrote nothing)"
