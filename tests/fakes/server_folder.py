"""Where tests keep the data of their database servers."""

import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
NEEDED_BYTES = 4 * 2**30
"""Free memory that must be there. With two cores, all servers took 0.5 GB at most."""


def new_server_folder(prefix: str) -> str:
    """Create a folder for a server's data, in memory if there is room.

    A database has 300 files. On ext4, creating files soon after others were deleted took half of
    the processor time of the tests of the history.
    """
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= NEEDED_BYTES
    return tempfile.mkdtemp(prefix=prefix, dir=MEMORY if has_room else None)
