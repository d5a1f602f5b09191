"""Pictures to decode, good and bad, and how to compare them."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from retinue_sdk import ImageLimits, InvalidImageError, Pixels
from retinue_sdk.decode import decode

LIMITS = ImageLimits()
HEIC = Path(__file__).with_name("photo.heic").read_bytes()
"""``photo(128, 96)`` as libheif and x265 encode it."""

TURNED_HEIC = Path(__file__).with_name("turned.heic").read_bytes()
"""The same with the EXIF orientation 6, which also is a property of the item in the file."""

CODES = {
    "empty_file",
    "too_many_bytes",
    "too_many_pixels",
    "unsupported_format",
    "corrupt_image",
}


def saved(image: PillowImage.Image, form: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def photo(width: int = 48, height: int = 32) -> PillowImage.Image:
    """Four quarters of different colours, so that every orientation looks different."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (250, 10, 10)
    pixels[: height // 2, width // 2 :] = (10, 250, 10)
    pixels[height // 2 :, : width // 2] = (10, 10, 250)
    pixels[height // 2 :, width // 2 :] = (250, 250, 10)
    return PillowImage.fromarray(pixels)


def refusal(data: bytes, limits: ImageLimits = LIMITS) -> InvalidImageError:
    with pytest.raises(InvalidImageError) as caught:
        decode(data, limits)
    assert caught.value.code in CODES
    assert not caught.value.retryable
    assert str(caught.value)
    return caught.value


def is_close(pixels: Pixels, expected: PillowImage.Image, tolerance: int = 40) -> bool:
    """Return whether nearly all pixels are alike: JPEG blurs the borders between the quarters."""
    wanted = np.asarray(expected, np.int16)
    if pixels.shape != wanted.shape:
        return False
    different = np.abs(pixels.astype(np.int16) - wanted).max(axis=2) > tolerance
    return float(different.mean()) < 0.15


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *before: bytes) -> bytes:
    """Return a PNG by hand, for what Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *before,
            chunk(b"IDAT", zlib.compress(rows, 9)),
            chunk(b"IEND", b""),
        ]
    )
