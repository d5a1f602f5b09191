"""Limits on the size of images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retinue_sdk.errors import InvalidImageError

if TYPE_CHECKING:
    from retinue_sdk.decoding_memory import DecodingMemory

MAX_BYTES = 64 * 2**20
"""Default maximum file size, in bytes. A JPEG of a 60-megapixel camera has about half of it."""

MAX_PX = 89_478_485
"""Default maximum number of pixels: Pillow's ``MAX_IMAGE_PIXELS``, 256 MiB of RGB."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits on the size of an image.

    Attributes:
        max_bytes: Maximum file size in bytes; at least 1.
        max_px: Maximum number of pixels (width × height, read from the header); 1 to 2 ×
            ``MAX_PX``, where Pillow itself refuses.
        memory: Memory for decoding, shared with other images; ``None`` if it isn't limited.
    """

    max_bytes: int = MAX_BYTES
    max_px: int = MAX_PX
    memory: "DecodingMemory | None" = None

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for limits that reject every image, or that Pillow would exceed."""
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes must be 1 or more, not {self.max_bytes}")
        if not 1 <= self.max_px <= 2 * MAX_PX:
            raise ValueError(f"max_px must be 1 to {2 * MAX_PX}, not {self.max_px}")

    def check_bytes(self, size_bytes: int) -> None:
        """Raise ``InvalidImageError`` for a file of this size, before it is read.

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
        """Raise ``InvalidImageError`` for an image with this size in its header, before decoding.

        Raises:
            InvalidImageError: It has too many pixels (``too_many_pixels``).
        """
        if width_px * height_px > self.max_px:
            raise InvalidImageError(
                f"the image has {width_px:,} × {height_px:,} pixels; "
                f"the limit is {self.max_px:,} in all",
                code="too_many_pixels",
            )
