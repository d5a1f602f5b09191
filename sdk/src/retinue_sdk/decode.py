"""From untrusted bytes to pixels, bounded before anything is decoded.

Pillow and NumPy are imported here alone, and this module by whoever decodes: a worker whose
detectors work by reference does without.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, UnidentifiedImageError
from PIL import Image as PillowImage

from retinue_sdk.errors import InvalidImageError
from retinue_sdk.limits import ImageLimits

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Image formats that are decoded, as Pillow names them. Others are refused unread, among them EPS,
whose decoder would start another program."""

Pixels = npt.NDArray[np.uint8]
"""Shape (height, width, 3), dtype uint8, C-contiguous: RGB, row 0 on top, as displayed."""

_TO_UPRIGHT = {
    2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
    3: PillowImage.Transpose.ROTATE_180,
    4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
    5: PillowImage.Transpose.TRANSPOSE,
    6: PillowImage.Transpose.ROTATE_270,
    7: PillowImage.Transpose.TRANSVERSE,
    8: PillowImage.Transpose.ROTATE_90,
}
"""What turns an image upright, by its EXIF orientation; 1 is upright already."""

_ON_ITS_SIDE = {5, 6, 7, 8}
"""EXIF orientations that exchange width and height (Exif 2.3, tag 274)."""


def decode(data: bytes, limits: ImageLimits) -> Pixels:
    """Decode an image file as a person would see it.

    EXIF orientation is applied, transparency is laid on white, 16-bit samples are scaled to 8,
    CMYK and palettes become RGB, and of an animation the first frame counts. The file's name and
    declared type play no part.

    Args:
        data: The whole file.
        limits: Checked against the file's size and the size in its header.

    Returns:
        A read-only array of RGB pixels, see ``Pixels``.

    Raises:
        InvalidImageError: With the code ``empty_file``, ``too_many_bytes``, ``too_many_pixels``,
            ``unsupported_format`` or ``corrupt_image``.
    """
    limits.check_bytes(len(data))
    with _explaining(limits), PillowImage.open(BytesIO(data), formats=FORMATS) as file:
        limits.check_pixels(*file.size)
        pixels = np.asarray(_displayed(file))  # of a copy that Pillow makes anyway
    pixels.setflags(write=False)
    return pixels


def measure(data: bytes, limits: ImageLimits) -> tuple[int, int]:
    """Width and height as displayed, in pixels, from the file's header; nothing is decoded.

    Args:
        data: The whole file.
        limits: Checked against the file's size and the size in its header.

    Raises:
        InvalidImageError: As ``decode`` raises it, except for damage behind the header.
    """
    limits.check_bytes(len(data))
    with _explaining(limits), PillowImage.open(BytesIO(data), formats=FORMATS) as file:
        limits.check_pixels(*file.size)
        width, height = file.size
        return (height, width) if _turned(file) else (width, height)


@contextmanager
def _explaining(limits: ImageLimits) -> Iterator[None]:
    """Turn whatever Pillow raises into a reason why the image cannot be read."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise InvalidImageError(
            f"not a readable image; supported are {', '.join(FORMATS)}", code="unsupported_format"
        ) from error
    except (PillowImage.DecompressionBombError, PillowImage.DecompressionBombWarning) as error:
        raise InvalidImageError(
            f"the image has more than {limits.max_px:,} pixels", code="too_many_pixels"
        ) from error
    except (InvalidImageError, MemoryError):
        raise
    except Exception as error:  # decoders meet hostile files and raise whatever they like
        raise InvalidImageError(
            f"the image cannot be decoded: {error}", code="corrupt_image"
        ) from error


def _turned(file: PillowImage.Image) -> bool:
    """Whether EXIF orientation puts the image on its side."""
    try:
        return file.getexif().get(ExifTags.Base.Orientation, 1) in _ON_ITS_SIDE
    except Exception:  # noqa: BLE001 - damaged metadata must not cost a readable picture
        return False


def _displayed(file: PillowImage.Image) -> PillowImage.Image:
    """The first frame in RGB, upright."""
    file.load()
    image = _upright(file)
    if image.mode.startswith("I"):  # "I;16", or 16-bit samples in a 32-bit container
        return _scaled_from_16_bit(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = PillowImage.new("RGBA", rgba.size, "white")
        return PillowImage.alpha_composite(white, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def _upright(file: PillowImage.Image) -> PillowImage.Image:
    """The image with its EXIF orientation applied; as it is when the EXIF data cannot be read.

    Pillow's ``exif_transpose`` also writes the EXIF data anew, which fails, and loses the rotation,
    when any other tag of it is odd.
    """
    try:
        method = _TO_UPRIGHT.get(file.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - damaged metadata must not cost a readable picture
        return file
    return file if method is None else file.transpose(method)


def _scaled_from_16_bit(image: PillowImage.Image) -> PillowImage.Image:
    """Grey levels 0–65,535 scaled to 0–255 (Pillow's own conversion would clip at 255)."""
    levels = np.clip(np.asarray(image, dtype=np.int64), 0, 65_535)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        levels = np.where(levels == transparent, 65_535, levels)  # on white
    return PillowImage.fromarray((levels >> 8).astype(np.uint8)).convert("RGB")
