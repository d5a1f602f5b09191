"""What an image may measure at most."""

from dataclasses import dataclass

from retinue_sdk.errors import InvalidImageError

MAX_BYTES = 64 * 2**20
"""Largest file by default, in bytes: a 60-megapixel camera's JPEG has about half of it."""

MAX_PX = 89_478_485
"""Most pixels by default: Pillow's own limit, 256 MiB of RGB (``PIL.Image.MAX_IMAGE_PIXELS``)."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What an image may measure at most before it is refused.

    Attributes:
        max_bytes: Largest file, in bytes; at least 1.
        max_px: Most pixels (width × height, read from the header); 1 to 2 × ``MAX_PX``, where
            Pillow itself refuses.
    """

    max_bytes: int = MAX_BYTES
    max_px: int = MAX_PX

    def __post_init__(self) -> None:
        """Refuse limits that let nothing through, or that Pillow would not honour."""
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes must be 1 or more, not {self.max_bytes}")
        if not 1 <= self.max_px <= 2 * MAX_PX:
            raise ValueError(f"max_px must be 1 to {2 * MAX_PX}, not {self.max_px}")

    def check_bytes(self, size_bytes: int) -> None:
        """Refuse a file by its size alone, before it is read.

        Raises:
            InvalidImageError: It is empty (``empty_file``) or too large (``too_many_bytes``).
        """
        if size_bytes == 0:
            raise InvalidImageError("the file is empty (0 bytes)", code="empty_file")
        if size_bytes > self.max_bytes:
            raise InvalidImageError(
                f"the file has {size_bytes:,} bytes; the limit is {self.max_bytes:,}",
                code="too_many_bytes",
            )

    def check_pixels(self, width_px: int, height_px: int) -> None:
        """Refuse an image by the size in its header, before it is decoded.

        Raises:
            InvalidImageError: It has too many pixels (``too_many_pixels``).
        """
        if width_px * height_px > self.max_px:
            raise InvalidImageError(
                f"the image has {width_px:,} × {height_px:,} pixels; "
                f"the limit is {self.max_px:,} in all",
                code="too_many_pixels",
            )
