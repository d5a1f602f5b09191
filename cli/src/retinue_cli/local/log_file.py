"""The log file of a program that runs in the background."""

from pathlib import Path

MAX_BYTES = 5 * 2**20
_TAIL_BYTES = 16 * 2**10


class LogFile:
    """A file that a background program writes to, from the place where this start of it begins.

    Args:
        path: The file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start_bytes = 0

    def begin(self) -> None:
        """Note where the next start begins, and empty a file that has grown too large."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            if file.tell() > MAX_BYTES:
                file.truncate(0)
            self._start_bytes = file.seek(0, 2)

    def tail(self, lines: int = 12) -> str:
        """The last lines written since ``begin``, indented for use within an error message."""
        try:
            with self.path.open("rb") as file:
                size_bytes = file.seek(0, 2)
                file.seek(max(self._start_bytes, size_bytes - _TAIL_BYTES))
                text = file.read().decode("utf-8", errors="replace")
        except OSError as error:
            return f"    (the log cannot be read: {error})"
        last = text.strip().splitlines()[-lines:]
        return "\n".join(f"    {line}" for line in last) or "    (it wrote nothing)"
