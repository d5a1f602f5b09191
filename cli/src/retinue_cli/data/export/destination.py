"""Open the destination of an export: a file that appears when complete."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    # A name of its own length, because the path's may have as many bytes as a name can have.
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()
    draft = path.with_name(f".{digest[:32]}.part")
    with _opened(draft) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def _opened(draft: Path) -> BinaryIO:
    """Open a draft, empty, once no other process writes it. One that was killed left its draft."""
    while True:
        file = draft.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):  # the other process has finished it meanwhile
                if os.path.samestat(os.fstat(file.fileno()), draft.stat()):
                    file.truncate(0)
                    return file
        except BaseException:
            file.close()
            raise
        file.close()
