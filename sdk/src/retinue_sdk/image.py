"""An image as detectors see it."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Self
from uuid import UUID

from retinue_sdk.errors import InvalidImageError
from retinue_sdk.limits import ImageLimits
from retinue_sdk.reference import ImageReference

if TYPE_CHECKING:
    from retinue_sdk.decode import Pixels


class Image:
    """One image, offered three ways: by S3 reference, as bytes, and as pixels.

    Bytes are fetched when a detector first asks for them and pixels are decoded when one first asks
    for those; both happen once and are shared by all detectors, on whichever threads they work,
    unless ``forget`` was called meanwhile. A detector that works by reference therefore downloads
    nothing.

    Args:
        reference: Which S3 object version this is.
        load: Fetches the object's bytes; called at most once, unless it raises something other
            than ``InvalidImageError``, or the bytes were forgotten.
        limits: Checked before fetching (if the size is known) and before decoding.
        size_bytes: The object's size as S3 announced it, if it did.
    """

    def __init__(
        self,
        reference: ImageReference,
        load: Callable[[], bytes],
        *,
        limits: ImageLimits | None = None,
        size_bytes: int | None = None,
    ) -> None:
        """Remember where the bytes come from; fetch nothing."""
        self.reference = reference
        self.size_bytes = size_bytes
        self._load = load
        self._limits = limits or ImageLimits()
        self._lock = Lock()
        self._data: bytes | None = None
        self._pixels: Pixels | None = None
        self._size_px: tuple[int, int] | None = None
        self._is_truncated = False
        self._unreadable: InvalidImageError | None = None
        self._undecodable: InvalidImageError | None = None

    @classmethod
    def from_bytes(
        cls, data: bytes, *, key: str = "image", limits: ImageLimits | None = None
    ) -> Self:
        """An image out of memory, for trying a detector; its bucket is called ``memory``."""
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()  # as S3 makes ETags
        reference = ImageReference("memory", key, etag=etag)
        return cls(reference, lambda: data, limits=limits, size_bytes=len(data))

    @classmethod
    def from_file(cls, path: str | Path, *, limits: ImageLimits | None = None) -> Self:
        """An image from a file, for trying a detector.

        Raises:
            OSError: The file cannot be read.
        """
        path = Path(path)
        return cls.from_bytes(path.read_bytes(), key=path.name, limits=limits)

    @property
    def image_id(self) -> UUID:
        """The image's deterministic id."""
        return self.reference.image_id

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Width and height as displayed, in pixels; ``None`` until the image was decoded."""
        return self._size_px

    @property
    def is_truncated(self) -> bool:
        """Return whether the file ends before its picture; ``False`` until it was decoded."""
        return self._is_truncated

    def is_loaded(self, *, pixels: bool) -> bool:
        """Return whether ``read``, or ``pixels``, would return without fetching or decoding."""
        return (self._pixels if pixels else self._data) is not None

    def read(self) -> bytes:
        """The object's bytes, fetched on first use.

        Raises:
            InvalidImageError: It is empty, too large, or gone. Whoever asks again gets the same.
            RetinueError: It cannot be fetched just now.
        """
        with self._lock:
            return self._read()

    def pixels(self) -> "Pixels":
        """The decoded image, fetched and decoded on first use.

        Returns:
            A read-only array of shape (height, width, 3), dtype uint8: RGB, EXIF orientation
            applied, transparency laid on white. Of a truncated file, the part that is missing is
            white, too (see ``is_truncated``). Copy the array before changing it.

        Raises:
            InvalidImageError: It cannot be decoded, ever. Whoever asks again gets the same.
            RetinueError: It cannot be fetched just now.
        """
        with self._lock:
            if self._pixels is None:
                data = self._read()
                if self._undecodable is not None:
                    raise self._undecodable
                from retinue_sdk.decode import decode, is_truncated

                try:
                    self._pixels = decode(data, self._limits)
                except InvalidImageError as error:
                    # Only pixels are lost: a detector that takes bytes may know the format.
                    self._undecodable = error
                    raise
                self._size_px = (self._pixels.shape[1], self._pixels.shape[0])
                self._is_truncated = is_truncated(data)
            return self._pixels

    def forget(self) -> None:
        """Let go of bytes and pixels, for the worker's use: an image that must wait holds none.

        Whoever asks for them next has them fetched again. What is known to be unreadable stays so.
        """
        with self._lock:
            self._data = self._pixels = None

    def _read(self) -> bytes:
        """The bytes, with the lock held."""
        if self._unreadable is not None:
            raise self._unreadable
        if self._data is None:
            try:
                if self.size_bytes is not None:
                    self._limits.check_bytes(self.size_bytes)
                data = self._load()
                self._limits.check_bytes(len(data))
            except InvalidImageError as error:
                self._unreadable = error
                raise
            self._data = data
        return self._data

    def __repr__(self) -> str:
        return f"<Image {self.image_id} {self.reference.uri}>"
