"""Inspect the structure of a file without decoding it.

Pillow reads more of a file than its picture, and stops at the first error. These functions find
the picture's data and check that they are complete.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from retinue_sdk.decode import bmp

_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT"}
_ANCILLARY = 0x20
"""The bit of a PNG chunk's first letter that is set if readers may skip the chunk."""

_JPEG_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")  # those that have a length, and the end
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_SCAN = bytes([0xFF, _START_OF_SCAN])
_SEQUENTIAL_FRAMES = {0xC0, 0xC1, 0xC9}
"""Markers of a frame whose scans each complete the components that they have."""

_MAX_SCANS = 100
"""Maximum number of scans of a JPEG. Encoders write up to about twenty. Each scan of a progressive
JPEG goes over the whole picture, even if it has a few bytes.
"""

_MAX_SEGMENTS = 10_000
"""Maximum number of segments of a JPEG. Pillow keeps those before the first scan, in objects that
are larger than a small segment.
"""

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}

_TIFF_NUMBERS = {3: 2, 4: 4, 16: 8}
"""The size in bytes of the numbers in a TIFF, by type: SHORT, LONG, and BigTIFF's LONG8."""

_TIFF_JPEG_TABLES = 347

_TIFF_DATA = ((273, 279), (324, 325))
"""The tags for the offsets and the sizes of a TIFF's strips or tiles."""

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels."""


def is_truncated(data: bytes) -> bool:
    """Return whether a file ends before its picture does.

    Return ``False`` for files with other damage or in another format. Only the first frame of an
    animated GIF or WebP counts.
    """
    try:
        if is_jpeg(data):
            return not data.endswith(b"\xff\xd9") and jpeg_extent(data)[0] is not None
        if is_png(data):
            return not any(kind == b"IEND" and end <= len(data) for kind, _, end in _chunks(data))
        if is_webp(data):
            return _webp_end(data) > len(data)
        if data.startswith((b"GIF87a", b"GIF89a")):
            return _is_truncated_gif(data)
        if is_tiff(data):
            return _is_truncated_tiff(data)
        if data.startswith(b"BM"):
            return bmp.parse(data).is_truncated
        if is_iso_media(data):
            return _is_iso_media_truncated(data)
    except (IndexError, OverflowError, struct.error):  # in the middle of a header
        return True
    except ValueError:  # a header that makes no sense
        return False
    return False


def is_jpeg(data: bytes) -> bool:
    """Return whether a file begins like a JPEG."""
    return data.startswith(b"\xff\xd8\xff") and data[3:4] >= b"\xc0"


def is_png(data: bytes) -> bool:
    """Return whether a file begins like a PNG."""
    return data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR"


def is_tiff(data: bytes) -> bool:
    """Return whether a file begins like a TIFF."""
    return data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))


def is_webp(data: bytes) -> bool:
    """Return whether a file begins like a WebP."""
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def is_iso_media(data: bytes) -> bool:
    """Return whether a file begins like ISO base media: AVIF, HEIF, and videos."""
    return data[4:8] == b"ftyp"


def is_heif(data: bytes) -> bool:
    """Return whether a file begins like a HEIF."""
    return is_iso_media(data) and data[8:12] in _HEIF_BRANDS


def jpeg_extent(data: bytes) -> tuple[int | None, bool]:
    """Return the position at which a JPEG is cut, and whether it still shows the whole picture.

    Returns:
        The position of the cut: the end of the file, or the start of the last segment if that is
        incomplete. ``None`` if the file is complete. The second value is true if a complete scan
        has more of the picture's brightness than the mean of each block: several scans refine
        the whole picture, while a single scan goes from top to bottom.
    """
    at, brightness, is_refining, shows_all = 2, None, False, False
    while match := _JPEG_MARKER.search(data, at):
        marker, begin = match[1][0], match.end()
        shows_all = shows_all or is_refining  # the next marker completes the scan before it
        if marker == _END_OF_IMAGE:
            return None, shows_all
        at = begin + int.from_bytes(data[begin : begin + 2])
        if begin + 2 > len(data) or at > len(data):
            return match.start(), shows_all
        is_refining = False
        if marker == _START_OF_SCAN and at - begin >= 8:
            components = data[begin + 3 : at - 3 : 2]
            brightness = components[0] if brightness is None else brightness
            is_refining = brightness in components and data[at - 2] > 0
    return len(data), shows_all


def jpeg_excess(data: bytes) -> str | None:
    """Return "scans" or "segments" if a JPEG has too many of them; ``None`` if it has not."""
    segments, scans, at, components = 0, 0, 2, 0
    while match := _JPEG_MARKER.search(data, at):
        marker, begin = match[1][0], match.end()
        segments += 1
        scans += marker == _START_OF_SCAN
        if segments > _MAX_SEGMENTS:
            return "segments"
        if scans > _MAX_SCANS:
            return "scans"
        if marker == _END_OF_IMAGE:
            return None
        if marker in _SEQUENTIAL_FRAMES:
            [components] = data[begin + 7 : begin + 8] or b"\0"
        elif marker == _START_OF_SCAN and scans == 1:
            # One sequential scan of all components is the whole picture: libjpeg refuses another.
            # Searching other files takes longer. Metadata, and what follows the picture, can
            # contain the marker as well.
            is_whole = components > 0 and data[begin + 2 : begin + 3] == bytes([components])
            if is_whole or data.count(_SCAN) <= _MAX_SCANS:
                return None
        at = begin + int.from_bytes(data[begin : begin + 2])
    return None


def essential_png(data: bytes, *, with_pixels: bool) -> bytes:
    """Return a PNG without the chunks that don't affect the picture.

    These include texts and profiles, which may be decompression bombs. Optional chunks with a wrong
    checksum are removed, as libpng does.

    Args:
        data: The file.
        with_pixels: Whether to include the pixels, and check their checksums.

    Raises:
        ValueError: The checksum of a critical chunk is wrong.
    """
    view = memoryview(data)
    kept: list[bytes | memoryview] = [view[:8]]
    for kind, begin, end in _chunks(data):
        if kind not in _PNG_KEPT:
            continue
        if kind == b"IDAT" and not with_pixels:
            kept.append(struct.pack(">I4sI", 0, kind, zlib.crc32(kind)))
        elif end > len(data):
            if kind == b"IDAT":
                kept += [struct.pack(">I", len(data) - begin - 8), view[begin + 4 :]]
        elif zlib.crc32(view[begin + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            if not kind[0] & _ANCILLARY:
                raise ValueError(f"the checksum of {kind.decode()} is wrong")
        elif kind == b"eXIf":
            kept.insert(min(2, len(kept)), view[begin:end])  # it may follow the pixels
        else:
            kept.append(view[begin:end])
    return b"".join(kept)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of each chunk of a PNG. The last may end beyond the file."""
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at, at + length + 12
        if kind == b"IEND":
            return
        at += length + 12


def webp_frame(data: bytes) -> tuple[Box, int] | None:
    """Return the position of an animated WebP's first frame and of its data; ``None`` for a still.

    Returns:
        Left, top, right and bottom in pixels, and a position in the file.
    """
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"ANMF" and at + 20 <= len(data):
            left, top, width, height = (
                int.from_bytes(data[at + 8 + 3 * n : at + 11 + 3 * n], "little") for n in range(4)
            )
            box = (2 * left, 2 * top, 2 * left + width + 1, 2 * top + height + 1)
            return box, at + 8 + length
        at += 8 + length + length % 2
    return None


def _webp_end(data: bytes) -> int:
    """Return the end of a WebP, or of the first frame of an animated one."""
    frame = webp_frame(data)
    size: int = struct.unpack_from("<I", data, 4)[0] + 8
    return size if frame is None else min(frame[1], size)


def continued_webp(data: bytes, filler: int) -> bytes:
    """Return a WebP; if it is truncated, fill the missing part."""
    end = _webp_end(data)
    if end - len(data) > len(data) or struct.unpack_from("<I", data, 4)[0] + 8 <= len(data):
        return data  # the filler may have any content, or the file is complete
    return data[:4] + struct.pack("<I", end - 8) + data[8:end].ljust(end - 8, bytes([filler]))


def _is_iso_media_truncated(data: bytes) -> bool:
    """Return whether an AVIF or HEIF ends within a box, or before the box with its picture.

    Raises:
        struct.error: It ends within a box's header.
    """
    at = 0
    kinds = set()
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kinds.add(data[at + 4 : at + 8])
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        if size < 8:  # 0: the box extends to the end of the file, which is unknown
            break
        at += size
    is_picture = data[8:12] in _HEIF_BRANDS | _AVIF_BRANDS
    return at > len(data) or (is_picture and b"mdat" not in kinds and b"idat" not in data)


def _is_truncated_gif(data: bytes) -> bool:
    """Return whether the first frame of a GIF is incomplete.

    Raises:
        IndexError: It is.
    """

    def palette_bytes(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    def skip_blocks(at: int) -> int:
        while size := data[at]:
            at += size + 1
        return at + 1

    at = 13 + palette_bytes(data[10])
    while (kind := data[at]) != ord(";"):
        if kind == ord("!"):
            at = skip_blocks(at + 2)
        elif kind == ord(","):
            skip_blocks(at + 11 + palette_bytes(data[at + 9]))
            return False
        else:
            at += 1
    return False


def _is_truncated_tiff(data: bytes) -> bool:
    """Return whether data of the picture in a TIFF is missing.

    Raises:
        struct.error: Its directory is missing.
    """
    order = "<" if data.startswith(b"I") else ">"
    word, count_type, head = ("Q", "Q", 8) if b"+" in data[:4] else ("I", "H", 4)
    room = struct.calcsize(word)
    (at,) = struct.unpack_from(order + word, data, head)
    (entries,) = struct.unpack_from(order + count_type, data, at)
    at += struct.calcsize(count_type)
    values: dict[int, npt.NDArray[np.unsignedinteger]] = {}
    for _ in range(entries):
        tag, kind, count = struct.unpack_from(f"{order}HH{word}", data, at)
        at += 4 + room
        if size := 1 if tag == _TIFF_JPEG_TABLES else _TIFF_NUMBERS.get(kind):
            begin = at if count * size <= room else struct.unpack_from(order + word, data, at)[0]
            if begin + count * size > len(data):
                return True
            if tag in _TIFF_DATA[0] + _TIFF_DATA[1] and tag not in values:
                values[tag] = np.frombuffer(data, f"{order}u{size}", count, begin)
        at += room
    return at + room > len(data) or any(  # the position of the next directory comes last
        _reach(values[begins], values[sizes]) > len(data)
        for begins, sizes in _TIFF_DATA
        if begins in values and sizes in values
    )


def _reach(
    begins: npt.NDArray[np.unsignedinteger], sizes: npt.NDArray[np.unsignedinteger]
) -> float:
    """Return the size of the smallest file that contains all these parts."""
    number = min(begins.size, sizes.size)
    return float((begins[:number].astype(float) + sizes[:number]).max(initial=0))
