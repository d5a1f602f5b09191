"""Open the destination of an export: a file that appears when complete."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def destination(name: str) -> Iterator[BinaryIO]:
    """Open a file to write. It gets its name when everything is written.

    Args:
        name: A path. An existing file is replaced only at the end,
            and only without an error.

    Raises:
        OSError: It can't be written.
    """
    path = Path(name)
    if path.exists() and not path.is_file():  # a device or a pipe has no partial state
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()  # resolve a symbolic link, so that the link remains
    draft = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
