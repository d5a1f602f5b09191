"""Where an export goes: a file that is whole or not there, or standard output."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

STDOUT = "-"


@contextmanager
def destination(name: str) -> Iterator[BinaryIO]:
    """Open a file to write; it gets its name when everything is written, and not before.

    Args:
        name: A path; ``-`` for standard output. An existing file is replaced at the end; until
            then, and if anything goes wrong, it stays as it is.

    Raises:
        OSError: It cannot be written.
    """
    if name == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    if path.exists() and not path.is_file():  # a device or a pipe has no half-written state
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()  # through a symbolic link: the link stays one
    draft = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
