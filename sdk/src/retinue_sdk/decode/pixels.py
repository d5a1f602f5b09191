"""Decode and measure images."""

import ctypes
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, ImageFile, UnidentifiedImageError, _imaging
from PIL import Image as PillowImage
from PIL.GifImagePlugin import GifImageFile

from retinue_sdk.decode import bmp, structure
from retinue_sdk.decoding_memory import decoding_bytes
from retinue_sdk.errors import DetectorError, InvalidImageError
from retinue_sdk.limits import ImageLimits

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
"""Image formats that are decoded, by Pillow's names. Others are refused unread, including EPS,
whose decoder would start another program. HEIF, the format of iPhones, needs the extra ``heif``.
"""

_OF_PILLOW = FORMATS[:-1]

Pixels = npt.NDArray[np.uint8]
"""Shape (height, width, 3), dtype uint8, C-contiguous: RGB, row 0 on top, as displayed."""

_ON_ITS_SIDE = {5, 6, 7, 8}
"""EXIF orientations that exchange width and height (Exif 2.3, tag 274)."""

_TURNS = {
    2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
    3: PillowImage.Transpose.ROTATE_180,
    4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
    5: PillowImage.Transpose.TRANSPOSE,
    6: PillowImage.Transpose.ROTATE_270,
    7: PillowImage.Transpose.TRANSVERSE,
    8: PillowImage.Transpose.ROTATE_90,
}
"""How to turn a file's rows upright, by EXIF orientation."""

_STRIP_PX = 2**16
"""Pixels of a strip that is converted at a time."""

_SHRINKS = (8, 4, 2, 1)
"""The fractions at which libjpeg decodes (``ImageFile.draft`` in Pillow's handbook)."""

_FILLERS = (0, 0x55, 0xAA, 0x33, 0x0F, 0x08, 0x99, 0xE4)
"""Bytes to continue a truncated file with. Pixels that depend on them are missing. The first two
work, except for some WebPs, whose decoder rejects them.
"""


def _silence_libtiff() -> None:
    """Keep libtiff from writing to standard error, where the log is. Pillow still raises errors."""
    libraries = ctypes.CDLL(_imaging.__file__)  # and those that it is linked with
    with suppress(AttributeError):  # Pillow was built without libtiff
        libraries.TIFFSetErrorHandler(None)
        libraries.TIFFSetWarningHandler(None)


_silence_libtiff()


def decode(data: bytes, limits: ImageLimits) -> Pixels:
    """Decode an image file as a browser displays it.

    EXIF orientation is applied, transparency becomes white, 16-bit samples are scaled to 8 bits,
    CMYK and palettes become RGB. Only the first frame of an animation is decoded. Metadata, the
    file's name and its declared type are ignored. A truncated file is decoded if more than half of
    its picture exists. The rest is white; see ``is_truncated``.

    Args:
        data: The whole file.
        limits: Checked against the file's size and the size in its header.

    Returns:
        A read-only array of RGB pixels, see ``Pixels``.

    Raises:
        InvalidImageError: With the code ``empty_file``, ``too_many_bytes``, ``too_many_pixels``,
            ``unsupported_format`` or ``corrupt_image``.
        DecodingMemoryError: Other images take the memory of the limits.
    """
    limits.check_bytes(len(data))
    with _explaining(data, limits):
        data = bmp.embedded(data)
        if data.startswith(b"BM"):
            checked = _checked_bmp(data, limits)
            px = checked.width * checked.height
            with _reserved(limits, decoding_bytes("BMP", px, px, bands=4, is_partial=False)):
                pixels = bmp.decode(checked)
                _count(pixels, limits)
        else:
            # A truncated TIFF, AVIF or HEIF is refused, as by all who read it.
            is_partial = structure.is_truncated(data) and not (
                structure.is_tiff(data) or structure.is_iso_media(data)
            )
            pixels = _load_partly(data, limits) if is_partial else _load(data, limits)
    pixels.setflags(write=False)
    return pixels.view()  # NumPy makes no view of a read-only array writable, even if asked


def decode_smaller(
    data: bytes,
    limits: ImageLimits,
    *,
    shrink: int,
    opened: ImageFile.ImageFile | None = None,
) -> PillowImage.Image:
    """Decode an image file as ``decode`` does, to resize it.

    Args:
        data: The whole file.
        limits: Checked against the file's size and the size in its header.
        shrink: 1, 2, 4 or 8, as ``shrink_of`` returns it. A file that ``is_shrinkable`` is decoded
            at this fraction of its size, rounded up, which is faster.
        opened: The result of ``open_to_measure``, which can be decoded once.

    Returns:
        A loaded image in RGB, as displayed.

    Raises:
        InvalidImageError: As for ``decode``.
        DecodingMemoryError: Other images take the memory of the limits.
    """
    if shrink == 1 or not is_shrinkable(data):
        return PillowImage.fromarray(decode(data, limits))
    limits.check_bytes(len(data))
    with _explaining(data, limits), opened or _opened(data, limits) as file:
        full_size = file.size
        width, height = (max(side // shrink, 1) for side in full_size)
        file.draft(None, (width, height))
        with _reserved(limits, _peak_bytes(file, full_size)):
            picture = _upright(file)
            if limits.memory is not None:
                limits.memory.keep(picture, math.prod(picture.size) * 4)  # RGB and a filler
        return picture


def is_shrinkable(data: bytes) -> bool:
    """Return whether a file is a complete JPEG, which can be decoded at a fraction of its size."""
    return structure.is_jpeg(data) and not structure.is_truncated(data)


def shrink_of(size_px: tuple[int, int], wanted_px: tuple[int, int]) -> int:
    """Return the largest ``shrink`` that leaves both sides with the wanted number of pixels.

    Args:
        size_px: Width and height of the image.
        wanted_px: Width and height that are needed.
    """
    ratio = min(size // max(wanted, 1) for size, wanted in zip(size_px, wanted_px, strict=True))
    return next(shrink for shrink in _SHRINKS if shrink <= max(ratio, 1))


def measure(data: bytes, limits: ImageLimits) -> tuple[int, int]:
    """Return width and height as displayed, in pixels, from the file's header. Decode nothing.

    Args:
        data: The whole file.
        limits: Checked against the file's size and the size in its header.

    Raises:
        InvalidImageError: As for ``decode``, except for damage after the header.
    """
    return open_to_measure(data, limits)[0]


def open_to_measure(
    data: bytes, limits: ImageLimits
) -> tuple[tuple[int, int], ImageFile.ImageFile | None]:
    """Measure an image as ``measure`` does, to decode it later.

    Returns:
        The size, and the opened file for ``decode_smaller`` if it ``is_shrinkable``.
    """
    limits.check_bytes(len(data))
    with _explaining(data, limits):
        data = bmp.embedded(data)
        if data.startswith(b"BM"):
            image = _checked_bmp(data, limits)
            return (image.width, image.height), None
        file = _opened(data, limits, with_pixels=False)
        width, height = file.size
        is_on_its_side = _orientation(file) in _ON_ITS_SIDE
        size = (height, width) if is_on_its_side else (width, height)
        return size, file if is_shrinkable(data) else None


@contextmanager
def _explaining(data: bytes, limits: ImageLimits) -> Iterator[None]:
    """Turn any exception of Pillow into the reason why the image cannot be read."""
    try:
        yield
    except UnidentifiedImageError as error:
        if structure.is_truncated(data):
            raise InvalidImageError("the file is truncated", code="corrupt_image") from error
        raise InvalidImageError(
            f"not a readable image; supported are {', '.join(FORMATS)}", code="unsupported_format"
        ) from error
    except (PillowImage.DecompressionBombError, PillowImage.DecompressionBombWarning) as error:
        raise InvalidImageError(
            f"the image has more than {limits.max_px:,} pixels", code="too_many_pixels"
        ) from error
    except (DetectorError, MemoryError):
        raise
    except Exception as error:  # decoders meet hostile files and can raise anything
        raise InvalidImageError(
            f"the image cannot be decoded: {error}", code="corrupt_image"
        ) from error


def _checked_bmp(data: bytes, limits: ImageLimits) -> bmp.Bmp:
    image = bmp.parse(data)
    limits.check_pixels(image.width, image.height)
    return image


@cache
def _register_heif() -> None:
    """Register HEIF with Pillow when the first HEIF arrives, to save memory in other workers.

    Raises:
        InvalidImageError: The library is not installed (``unsupported_format``).
    """
    try:
        from pi_heif import register_heif_opener  # type: ignore[import-untyped]  # it ships none
    except ImportError as error:
        raise InvalidImageError(
            "HEIF and HEIC need the package pi-heif: install retinue-sdk[heif]",
            code="unsupported_format",
        ) from error
    # One thread, as for the other formats, because images are decoded in parallel.
    register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


def _opened(
    data: bytes, limits: ImageLimits, *, with_pixels: bool = True, filler: int = 0
) -> ImageFile.ImageFile:
    """Open a file with Pillow and check its size. Continue a truncated file if that helps.

    Args:
        data: The file.
        limits: Checked against the size in its header.
        with_pixels: Whether to decode it.
        filler: Bytes to continue a truncated file with.

    Raises:
        InvalidImageError: It has too many pixels, scans or segments.
    """
    if structure.is_png(data):
        data = structure.essential_png(data, with_pixels=with_pixels)
    elif structure.is_webp(data):
        data = structure.continued_webp(data, filler)
    elif structure.is_jpeg(data) and (excess := structure.jpeg_excess(data)):
        raise InvalidImageError(f"the JPEG has too many {excess}", code="corrupt_image")
    elif structure.is_jpeg(data) and structure.is_truncated(data):
        end, shows_all = structure.jpeg_extent(data)
        data = (
            data[:end].rstrip(b"\xff")
            + (b"" if shows_all else bytes([filler]) * 1_024)
            + b"\xff\xd9"
        )
    formats: tuple[str, ...] = _OF_PILLOW
    if structure.is_heif(data):
        _register_heif()
        formats = FORMATS
    file = PillowImage.open(BytesIO(data), formats=formats)
    limits.check_pixels(*file.size)
    if structure.is_jpeg(data):
        file.decodermaxblock = len(data)  # one call of libjpeg, not one for each 64 KB
    file.info.pop("xmp", None)  # has an orientation, too, that TIFFs would be turned by
    return file


def _load(data: bytes, limits: ImageLimits) -> Pixels:
    """Return the first frame of a complete file, upright."""
    with _opened(data, limits) as file:
        frame = _frame(file, data)
        with _reserved(limits, _peak_bytes(file, file.size)):
            file.load()
            pixels = _upright_pixels(file, frame)
            _count(pixels, limits)
            return pixels


def _peak_bytes(
    file: ImageFile.ImageFile, full_size: tuple[int, int], *, is_partial: bool = False
) -> int:
    """Return the memory that decoding an opened file takes. ``full_size`` is before ``draft``."""
    return decoding_bytes(
        str(file.format),
        math.prod(full_size),
        math.prod(file.size),
        bands=len(file.getbands()),
        is_partial=is_partial,
    )


def _reserved(limits: ImageLimits, size_bytes: int) -> AbstractContextManager[None]:
    return nullcontext() if limits.memory is None else limits.memory.reserved(size_bytes)


def _count(pixels: Pixels, limits: ImageLimits) -> None:
    if limits.memory is not None:
        limits.memory.keep(pixels, pixels.nbytes)


def _upright(file: PillowImage.Image) -> PillowImage.Image:
    """Return an image in RGB, as displayed."""
    file.load()
    turn = _TURNS.get(_orientation(file))
    picture = _on_white(file)
    return picture if turn is None else picture.transpose(turn)


def _upright_pixels(file: PillowImage.Image, frame: structure.Box) -> Pixels:
    """Return the frame of a loaded image as displayed, on white.

    Large images are converted in strips. Pillow's conversions of a whole image would take up to 21
    bytes per pixel; these take 7, with the loaded image and the result.
    """
    width, height = file.size
    orientation = _orientation(file)
    if orientation == 1 and frame == (0, 0, width, height) and width * height <= _STRIP_PX:
        return np.asarray(_on_white(file))  # of a copy that Pillow makes anyway
    pixels, stored = _upright_array(width, height, orientation)
    left, top, right, bottom = frame
    if frame != (0, 0, width, height):
        pixels[...] = 255
    step = max(1, _STRIP_PX // width)
    for upper in range(top, bottom, step):
        lower = min(upper + step, bottom)
        strip = file.crop((left, upper, right, lower))
        stored[upper:lower, left:right] = np.asarray(_on_white(strip))
    return pixels


def _upright_array(width: int, height: int, orientation: int) -> tuple[Pixels, Pixels]:
    """Return an array for an image as displayed, and a view on it whose rows are the file's.

    Args:
        width: Of the file's rows, in pixels.
        height: The number of rows.
        orientation: From EXIF (Exif 2.3, tag 274).
    """
    is_on_its_side = orientation in _ON_ITS_SIDE
    pixels = np.empty((width, height, 3) if is_on_its_side else (height, width, 3), np.uint8)
    stored = pixels.swapaxes(0, 1) if is_on_its_side else pixels
    if orientation in {2, 3, 7, 8}:
        stored = stored[:, ::-1]
    if orientation in {3, 4, 6, 7}:
        stored = stored[::-1]
    return pixels, stored


def _load_partly(data: bytes, limits: ImageLimits) -> Pixels:
    """Return the existing part of a truncated file, upright, and the rest in white."""
    with _opened(data, limits) as file:
        peak_bytes = _peak_bytes(file, file.size, is_partial=True)
    with _reserved(limits, peak_bytes):
        pixels = _partial_pixels(data, limits)
        _count(pixels, limits)
        return pixels


def _partial_pixels(data: bytes, limits: ImageLimits) -> Pixels:
    """Decode a truncated file twice, with different fillers. Pixels that differ are missing.

    Raises:
        ValueError: Half of the picture or more is missing.
    """
    loaded: list[npt.NDArray[Any]] = []
    for filler in _FILLERS:
        with _opened(data, limits, filler=filler) as file:
            left, top, right, bottom = _frame(file, data)
            try:
                _load_what_is_there(file, filler)
            except OSError:
                if not structure.is_webp(data):
                    raise
                continue
            loaded.append(np.asarray(file))
        if len(loaded) == 2:
            break
    else:
        raise ValueError("the file is truncated")
    missing = loaded[0] != loaded[1]
    loaded.clear()
    if missing.ndim > 2:
        missing = missing.any(axis=2)
    if structure.is_jpeg(data) or structure.is_webp(data):  # these go from top to bottom
        missing |= np.maximum.accumulate(missing.any(axis=1))[:, None]
    if file.info.get("progressive") and not structure.jpeg_extent(data)[1]:
        raise ValueError("the picture is too coarse")
    in_frame = missing[top:bottom, left:right]
    if in_frame.sum() * 2 >= in_frame.size:
        raise ValueError("half of the picture or more is missing")
    pixels = np.array(_on_white(file))
    # The rows of the last pass of an interlaced picture are like those above them.
    above = missing[1:] & ~missing[:-1]
    pixels[1:][above] = pixels[:-1][above]
    missing[1:] &= ~above
    pixels[missing] = 255
    upright, stored = _upright_array(*file.size, _orientation(file))
    stored[...] = pixels
    return upright


def _load_what_is_there(file: ImageFile.ImageFile, filler: int) -> None:
    """Load a file as far as possible. Missing pixels get the filler."""
    if isinstance(file, GifImageFile) and file._frame_transparency is not None:  # noqa: SLF001
        file._frame_transparency = filler  # noqa: SLF001 - the value with which Pillow fills such an image
    else:
        file.im = PillowImage.new(file.mode, file.size, filler).im
    try:
        file.load()
    except OSError as error:
        if "truncated" not in str(error):
            raise
        file.tile = []  # Pillow keeps the decoded part


def _frame(file: ImageFile.ImageFile, data: bytes) -> structure.Box:
    """Return the part of the canvas that the first frame covers. Only animations don't cover all.

    Pillow paints the others in some colour. Browsers leave them transparent.
    """
    if isinstance(file, GifImageFile):
        return file.tile[0].extents or (0, 0, *file.size)
    width, height = file.size
    if structure.is_webp(data) and (frame := structure.webp_frame(data)):
        left, top, right, bottom = frame[0]
        return min(left, width), min(top, height), min(right, width), min(bottom, height)
    return 0, 0, width, height


def _on_white(file: PillowImage.Image) -> PillowImage.Image:
    """Return a loaded image in RGB."""
    if file.mode.startswith("I"):  # "I;16", or 16-bit samples in a 32-bit container
        return _scaled_from_16_bit(file)
    if file.has_transparency_data:
        rgba = file.convert("RGBA")
        white = PillowImage.new("RGBA", rgba.size, "white")
        return PillowImage.alpha_composite(white, rgba).convert("RGB")
    return file if file.mode == "RGB" else file.convert("RGB")  # which would copy it


def _orientation(file: PillowImage.Image) -> int:
    """Return the EXIF orientation that is left to apply; 1 if it is missing or damaged.

    Pillow applies a TIFF's orientation by itself. Its ``getexif`` and ``exif_transpose`` also read
    an orientation from XMP, and the latter fails if any other EXIF tag is invalid.
    """
    exif = PillowImage.Exif()
    try:
        exif.load(file.info.get("exif", b""))
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - damaged metadata must not cost a readable picture
        return 1
    return orientation if isinstance(orientation, int) else 1


def _scaled_from_16_bit(image: PillowImage.Image) -> PillowImage.Image:
    """Return grey levels 0–65,535 scaled to 0–255. Pillow's own conversion would clip at 255."""
    levels = np.clip(np.asarray(image, dtype=np.int64), 0, 65_535)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        levels = np.where(levels == transparent, 65_535, levels)  # on white
    return PillowImage.fromarray((levels >> 8).astype(np.uint8)).convert("RGB")
