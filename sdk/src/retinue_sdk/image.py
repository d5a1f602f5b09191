"""The image that detectors receive."""

import hashlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from retinue_sdk.errors import InvalidImageError
from retinue_sdk.limits import ImageLimits
from retinue_sdk.reference import ImageReference

if TYPE_CHECKING:
    from retinue_sdk.decode import Pixels

PreparedT = TypeVar("PreparedT")


class Image:
    """One image in three forms: S3 reference, bytes, and pixels.

    Bytes are fetched and pixels are decoded when a detector first requests them. Both happen once
    and are shared by all detectors and threads, until ``forget`` is called. A detector that uses
    only the reference therefore downloads nothing.

    Args:
        reference: The S3 object version.
        load: Fetches the object's bytes. Called at most once, unless it raises an error other than
            ``InvalidImageError`` or the bytes were forgotten.
        limits: Checked before fetching (if the size is known) and before decoding.
        size_bytes: The object's size according to S3, if known.

    Attributes:
        has_file: Whether it has bytes. Frames of videos have only pixels.
        decode_seconds: How long its pixels were decoded, in seconds.
    """

    has_file: bool = True
    decode_seconds: float = 0.0

    def __init__(
        self,
        reference: ImageReference,
        load: Callable[[], bytes],
        *,
        limits: ImageLimits | None = None,
        size_bytes: int | None = None,
    ) -> None:
        self.reference = reference
        self.size_bytes = size_bytes
        self._load = load
        self._limits = limits or ImageLimits()
        self._lock = Lock()
        self._data: bytes | None = None
        self._pixels: Pixels | None = None
        self._shrunk: dict[int, Pixels] = {}
        self._prepared: dict[Callable[[Any], Any], Any] = {}
        self._preparing = Lock()
        self._size_px: tuple[int, int] | None = None
        self._is_truncated = False
        self._unreadable: InvalidImageError | None = None
        self._undecodable: InvalidImageError | None = None

    @classmethod
    def from_bytes(
        cls, data: bytes, *, key: str = "image", limits: ImageLimits | None = None
    ) -> Self:
        """Return an image from memory, to try a detector. Its bucket is named ``memory``."""
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()  # as S3 makes ETags
        reference = ImageReference("memory", key, etag=etag)
        return cls(reference, lambda: data, limits=limits, size_bytes=len(data))

    @classmethod
    def from_file(cls, path: str | Path, *, limits: ImageLimits | None = None) -> Self:
        """Return an image from a file, to try a detector.

        Raises:
            OSError: The file cannot be read.
        """
        path = Path(path)
        return cls.from_bytes(path.read_bytes(), key=path.name, limits=limits)

    @classmethod
    def from_pixels(cls, pixels: "Pixels", reference: ImageReference | None = None) -> Self:
        """Return an image that has no file, such as a frame of a video or a part of an image.

        Args:
            pixels: Shape (height, width, 3), uint8, RGB.
            reference: The object that it is from.
        """
        image = cls(reference or ImageReference("memory", "pixels", etag="none"), _no_file)
        image.has_file = False
        image._pixels = pixels
        image._size_px = (pixels.shape[1], pixels.shape[0])
        return image

    @property
    def image_id(self) -> UUID:
        """Return the image's deterministic id."""
        return self.reference.image_id

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Return width and height as displayed, in pixels; ``None`` before the image is decoded."""
        return self._size_px

    @property
    def is_truncated(self) -> bool:
        """Return whether the file ends before its picture. ``False`` before it is decoded."""
        return self._is_truncated

    def is_loaded(self, *, pixels: bool) -> bool:
        """Return whether ``read`` or ``pixels`` would return without fetching or decoding."""
        return (self._pixels if pixels else self._data) is not None

    def read(self) -> bytes:
        """Return the object's bytes. Fetch them on first use.

        Raises:
            InvalidImageError: It is empty, too large, or gone. Later calls raise the same error.
            RetinueError: It can't be fetched at the moment.
        """
        with self._lock:
            return self._read()

    def pixels(self) -> "Pixels":
        """Return the decoded image. Fetch and decode it on first use.

        Returns:
            A read-only array of shape (height, width, 3), dtype uint8: RGB, EXIF orientation
            applied. Transparency and the missing part of a truncated file are white (see
            ``is_truncated``). Copy the array before you change it.

        Raises:
            InvalidImageError: It can never be decoded. Later calls raise the same error.
            RetinueError: It can't be fetched at the moment.
        """
        with self._lock:
            return self._decoded(1)

    def measure(self) -> tuple[int, int]:
        """Return width and height as displayed, in pixels. Fetch the image on first use.

        Only the file's header is decoded.

        Raises:
            InvalidImageError: It can never be decoded. Later calls raise the same error.
            RetinueError: It can't be fetched at the moment.
        """
        with self._lock:
            if self._size_px is None:
                from retinue_sdk.decode import measure

                self._size_px = self._explained(measure)
            return self._size_px

    def scaled_pixels(self, width: int, height: int) -> "Pixels":
        """Return the decoded image, perhaps smaller, for a detector that resizes it.

        A JPEG is decoded at a half, a quarter or an eighth of its size if that leaves both sides
        with enough pixels: of a photograph of 1920 × 1080 in a third of the time. Other images have
        their full size.

        Args:
            width: Minimum width, in pixels.
            height: Minimum height, in pixels.

        Returns:
            As for ``pixels``. ``size_px`` is the image's own size.

        Raises:
            InvalidImageError: It can never be decoded. Later calls raise the same error.
            RetinueError: It can't be fetched at the moment.
        """
        if not self.has_file:
            return self.pixels()
        from retinue_sdk.decode import shrink_of

        shrink = shrink_of(self.measure(), (width, height))
        with self._lock:
            return self._decoded(shrink)

    def prepared(self, prepare: Callable[["Image"], PreparedT]) -> PreparedT:
        """Return the result of a detector's ``prepare`` for this image. Call it on first use.

        The worker has usually called it before. Call ``image.prepared(self.prepare)`` in
        ``detect``.

        Raises:
            Exception: ``prepare`` raised it.
        """
        with self._preparing:
            prepared = self._prepared
            if prepare not in prepared:
                prepared[prepare] = prepare(self)
            value: PreparedT = prepared[prepare]
            return value

    def is_prepared(self, prepare: Callable[["Image"], Any]) -> bool:
        """Return whether ``prepared`` would return without calling ``prepare``."""
        return prepare in self._prepared

    @property
    def is_being_prepared(self) -> bool:
        """Return whether a thread is inside ``prepared``."""
        return self._preparing.locked()

    def forget(self, *, keep_prepared: bool = False) -> None:
        """Free bytes and pixels, for the worker: an image that waits must not hold memory.

        The next request fetches them again. An image that is known to be unreadable stays
        unreadable.

        Args:
            keep_prepared: Whether to keep what detectors have prepared.
        """
        with self._lock:
            self._data = self._pixels = None
            self._shrunk = {}
            if not keep_prepared:
                self._prepared = {}

    def _decoded(self, shrink: int) -> "Pixels":
        """Return the pixels at a fraction of the size. The caller holds the lock."""
        if shrink > 1 and shrink in self._shrunk:
            return self._shrunk[shrink]
        if shrink == 1 and self._pixels is not None:
            return self._pixels
        from retinue_sdk.decode import decode, is_truncated

        self._read()
        began = time.perf_counter()
        pixels = self._explained(decode if shrink == 1 else partial(decode, shrink=shrink))
        self.decode_seconds += time.perf_counter() - began
        self._is_truncated = is_truncated(self._read())
        if shrink == 1:
            self._pixels = pixels
            self._size_px = (pixels.shape[1], pixels.shape[0])
        else:
            self._shrunk[shrink] = pixels
        return pixels

    def _explained(self, use: Callable[[bytes, ImageLimits], PreparedT]) -> PreparedT:
        """Apply a function to the bytes, or raise the known error. The caller holds the lock."""
        data = self._read()
        if self._undecodable is not None:
            raise self._undecodable
        try:
            return use(data, self._limits)
        except InvalidImageError as error:
            # Only pixels are unavailable: a detector that uses bytes may know the format.
            self._undecodable = error
            raise

    def _read(self) -> bytes:
        """Return the bytes. The caller holds the lock."""
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


def _no_file() -> bytes:
    raise InvalidImageError(
        "a frame of a video has pixels and no file: this detector can't process videos",
        code="frame_without_file",
    )
