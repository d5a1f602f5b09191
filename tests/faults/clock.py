"""A wall clock that steps under a worker."""

import mmap
import shutil
import struct
import subprocess
from pathlib import Path


class Clock:
    """The wall clock of the workers that are started with its ``variables``.

    Args:
        folder: Where its library is built.
    """

    def __init__(self, folder: Path) -> None:
        """Build the library that is preloaded into workers."""
        self._library = folder / "clock.so"
        source = Path(__file__).with_name("clock.c")
        subprocess.run(
            [compiler() or "cc", "-shared", "-fPIC", "-O1", "-o", self._library, source],
            check=True,
            capture_output=True,
            text=True,
        )
        self._file = folder / "clock.offset"
        self._file.write_bytes(bytes(mmap.PAGESIZE))

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables for a worker."""
        return {"LD_PRELOAD": str(self._library), "CLOCK_OFFSET": str(self._file)}

    def step(self, seconds: int) -> None:
        """Let it be so many seconds later, or earlier, than it really is."""
        with self._file.open("r+b") as file, mmap.mmap(file.fileno(), 8) as page:
            page[:8] = struct.pack("l", seconds)


def compiler() -> str | None:
    """Return the C compiler of this machine, if it has one."""
    return shutil.which("cc") or shutil.which("gcc")
