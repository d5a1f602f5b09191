"""The image that detectors receive."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from retinue_sdk.box import BoundingBox
from retinue_sdk.errors import InvalidImageError
from retinue_sdk.limits import ImageLimits
from retinue_sdk.reference import ImageReference

if TYPE_CHECKING:
    from PIL import Image as PillowImage
    from PIL.ImageFile import ImageFile

    from retinue_sdk.decode import Pixels

PreparedT = TypeVar("PreparedT")

WHOLE = BoundingBox(0.0, 0.0, 1.0, 1.0)
"""All of an image."""


@dataclass(slots=True)
class _Content:
    """The bytes and pixels of an image, until they are forgotten.

    Attributes:
        lock: Held while it is fetched and decoded.
        data: The object's bytes.
        pixels: Shape (height, width, 3), uint8, RGB.
        shrunk: The image at fractions of its size.
        opened: The file, if it was measured and can be decoded smaller.
    """

    lock: Lock = field(default_factory=Lock)
    data: bytes | None = None
    pixels: "Pixels | None" = None
    shrunk: "dict[int, PillowImage.Image]" = field(default_factory=dict)
    opened: "ImageFile | None" = None


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
        self._content = _Content()
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
        image._content.pixels = pixels
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
        content = self._content
        return (content.pixels if pixels else content.data) is not None

    def read(self) -> bytes:
        """Return the object's bytes. Fetch them on first use.

        Raises:
            InvalidImageError: It is empty, too large, or gone. Later calls raise the same error.
            RetinueError: It can't be fetched at the moment.
        """
        content = self._content
        with content.lock:
            return self._read(content)

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
        content = self._content
        with content.lock:
            return self._decoded(content)

    def measure(self) -> tuple[int, int]:
        """Return width and height as displayed, in pixels. Fetch the image on first use.

        Only the file's header is decoded.

        Raises:
            InvalidImageError: It can never be decoded. Later calls raise the same error.
            RetinueError: It can't be fetched at the moment.
        """
        content = self._content
        with content.lock:
            if self._size_px is None:
                from retinue_sdk.decode import open_to_measure

                self._size_px, content.opened = self._explained(content, open_to_measure)
            return self._size_px

    def resized_pixels(self, width: int, height: int, *, part: BoundingBox = WHOLE) -> "Pixels":
        """Return the image with another size. Its proportions may change.

        Pixels are interpolated bilinearly. When the image shrinks, each one is an average of a
        larger area, to avoid aliasing. A JPEG is decoded at a half, a quarter or an eighth of its
        size if that leaves both sides with enough pixels: a photograph of 1920 × 1080 in a third of
        the time.

        Args:
            width: In pixels, at least 1.
            height: In pixels, at least 1.
            part: The part to resize, inside the image, with a width and a height above 0.

        Returns:
            A read-only array of shape (height, width, 3), as for ``pixels``. ``size_px`` remains
            the image's own size.

        Raises:
            InvalidImageError: It can never be decoded. Later calls raise the same error.
            RetinueError: It can't be fetched at the moment.
        """
        from retinue_sdk.decode import resized, shrink_of

        wanted = round(width / part.width), round(height / part.height)
        shrink = shrink_of(self.measure(), wanted) if self.has_file else 1
        content = self._content
        with content.lock:
            picture = self._picture(content, shrink)
        return resized(picture, width, height, part)

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
        unreadable. This never waits: a thread that is fetching or decoding continues, and what it
        loads is freed with its call.

        Args:
            keep_prepared: Whether to keep what detectors have prepared.
        """
        self._content = _Content()
        if not keep_prepared:
            self._prepared = {}

    def _decoded(self, content: "_Content") -> "Pixels":
        """Return the pixels at full size. The caller holds the content's lock."""
        if content.pixels is None:
            from retinue_sdk.decode import decode, is_truncated

            self._read(content)
            began = time.perf_counter()
            content.pixels = self._explained(content, decode)
            self.decode_seconds += time.perf_counter() - began
            self._is_truncated = is_truncated(self._read(content))
            self._size_px = (content.pixels.shape[1], content.pixels.shape[0])
        return content.pixels

    def _picture(self, content: "_Content", shrink: int) -> "PillowImage.Image":
        """Return the image at a fraction of its size, if possible. The caller holds the lock."""
        from PIL import Image as PillowImage

        from retinue_sdk.decode import decode_smaller, is_shrinkable

        if shrink not in content.shrunk:
            if shrink == 1 or not is_shrinkable(self._read(content)):
                return PillowImage.fromarray(self._decoded(content))
            began = time.perf_counter()
            opened, content.opened = content.opened, None
            smaller = self._explained(
                content, partial(decode_smaller, shrink=shrink, opened=opened)
            )
            content.shrunk[shrink] = smaller
            self.decode_seconds += time.perf_counter() - began
        return content.shrunk[shrink]

    def _explained(
        self, content: "_Content", use: Callable[[bytes, ImageLimits], PreparedT]
    ) -> PreparedT:
        """Apply a function to the bytes, or raise the known error. The caller holds the lock."""
        data = self._read(content)
        if self._undecodable is not None:
            raise _copy(self._undecodable)
        try:
            return use(data, self._limits)
        except InvalidImageError as error:
            # Only pixels are unavailable: a detector that uses bytes may know the format.
            self._undecodable = _copy(error)
            raise

    def _read(self, content: "_Content") -> bytes:
        """Return the bytes. The caller holds the lock."""
        if self._unreadable is not None:
            raise _copy(self._unreadable)
        if content.data is None:
            try:
                if self.size_bytes is not None:
                    self._limits.check_bytes(self.size_bytes)
                data = self._load()
                self._limits.check_bytes(len(data))
            except InvalidImageError as error:
                self._unreadable = _copy(error)
                raise
            content.data = data
        return content.data

    def __repr__(self) -> str:
        return f"<Image {self.image_id} {self.reference.uri}>"


def _copy(error: InvalidImageError) -> InvalidImageError:
    """Return an error without a traceback, whose frames would keep this image and its pixels."""
    return InvalidImageError(
        str(error), code=error.code, retryable=error.retryable, billed_units=error.billed_units
    )


def _no_file() -> bytes:
    raise InvalidImageError(
        "a frame of a video has pixels and no file: this detector can't process videos",
        code="frame_without_file",
    )
