"""Pictures on disk, by image id, up to a number of bytes."""

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from uuid import UUID

_KEPT = 0.9
"""Share of the limit that is kept when the least recently used entries are removed."""


class PictureCache:
    """A folder of files that can be removed at any time.

    The picture of an image id never changes, so an entry is never renewed. Several processes can
    share a folder.

    Args:
        folder: Made when it is first written to.
        max_bytes: Maximum size of all files.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._bytes: int | None = None  # of all files, about; unknown at first

    def get(self, image_id: UUID, kind: str) -> bytes | None:
        """Return an entry, and note that it was used; ``None`` if there is none."""
        file = self._file(image_id, kind)
        try:
            data = file.read_bytes()
            os.utime(file)
        except OSError:
            return None
        return data

    def put(self, image_id: UUID, kind: str, data: bytes) -> None:
        """Store an entry, and remove the least recently used ones beyond the limit.

        Args:
            image_id: The image's id.
            kind: The kind of picture, such as ``thumbnail``.
            data: Its bytes.
        """
        file = self._file(image_id, kind)
        with suppress(OSError):  # a full disk: pictures are made at each request then
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as draft:
                draft.write(data)
            Path(draft.name).replace(file)
        with self._lock:
            if self._bytes is None:
                self._bytes = sum(size for _, size, _ in self._entries())
            else:
                self._bytes += len(data)
            if self._bytes > self._max_bytes:
                self._evict()

    def image_ids(self) -> set[UUID]:
        """Return the ids of the images whose pictures are cached."""
        found = set()
        for _, _, file in self._entries():
            with suppress(ValueError):
                found.add(UUID(file.stem))
        return found

    def remove(self, image_ids: Collection[UUID]) -> None:
        """Remove all pictures of some images."""
        for image_id in image_ids:
            folder = self._file(image_id, "*").parent
            for file in folder.glob(f"{image_id}.*"):
                file.unlink(missing_ok=True)

    def _file(self, image_id: UUID, kind: str) -> Path:
        return self._folder / image_id.hex[:2] / f"{image_id}.{kind}"

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """Yield when each file was used last, its size, and the file."""
        for file in self._folder.glob("??/*"):
            with suppress(OSError):
                stat = file.stat()
                yield stat.st_mtime, stat.st_size, file

    def _evict(self) -> None:
        entries = sorted(self._entries())
        left = sum(size for _, size, _ in entries)
        for _, size, file in entries:
            if left <= self._max_bytes * _KEPT:
                break
            with suppress(OSError):
                file.unlink()
                left -= size
        self._bytes = left
