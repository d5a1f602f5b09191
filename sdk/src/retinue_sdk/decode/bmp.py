"""Decode all variants of BMP. Pillow refuses a third of them.

The variants are those of BMP Suite (https://entropymine.com/jason/bmpsuite/), and ambiguities are
decided as browsers do: alpha that is 0 everywhere counts as none, and what a run-length encoded
picture skips is transparent.
"""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retinue_sdk.errors import InvalidImageError

_RAW, _RLE8, _RLE4, _BITFIELDS, _JPEG_OR_RLE24, _PNG, _ALPHA_BITFIELDS = range(7)
_DEFAULT_MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
_BYTE_MASKS = {0xFF << 8 * place: place for place in range(4)}
_BLOCK_PX = 2**20  # computed at a time, to bound memory

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Bmp:
    """The headers of a BMP.

    Attributes:
        data: The file.
        width: In pixels.
        height: In pixels.
        is_top_down: Whether row 0 is stored first.
        bits: Of a pixel.
        compression: As in the header.
        masks: Of red, green, blue and alpha, for 16 and 32 bits.
        palette: Shape (256, 3), RGB, for up to 8 bits.
        offset: Position of the pixels, in bytes.
        data_bytes: Size of the pixels in bytes, which counts if they are run-length encoded.
    """

    data: bytes
    width: int
    height: int
    is_top_down: bool
    bits: int
    compression: int
    masks: tuple[int, ...]
    palette: Bytes
    offset: int
    data_bytes: int

    @property
    def is_truncated(self) -> bool:
        """Return whether the file ends before its pixels do."""
        if self.is_run_length_encoded:
            return self.offset + self.data_bytes > len(self.data)
        return self.offset + self.stride * (self.height - 1) + self.row_bytes > len(self.data)

    @property
    def row_bytes(self) -> int:
        """Return the number of bytes in a row, without padding."""
        return (self.width * self.bits + 7) // 8

    @property
    def stride(self) -> int:
        """Return the number of bytes in a row, with padding."""
        return (self.width * self.bits + 31) // 32 * 4

    @property
    def is_run_length_encoded(self) -> bool:
        """Return whether the pixels are run-length encoded."""
        return self.is_rle24 or (self.compression, self.bits) in ((_RLE8, 8), (_RLE4, 4))

    @property
    def is_rle24(self) -> bool:
        """Return whether the pixels have OS/2's run-length encoding.

        For Windows, the number means JPEG.
        """
        return self.compression == _JPEG_OR_RLE24 and self.bits == 24


def embedded(data: bytes) -> bytes:
    """Return the JPEG or PNG inside a BMP, or the file itself if there is none."""
    if data.startswith(b"BM") and len(data) > 34:
        offset, _, _, _, _, bits, compression = struct.unpack_from("<IIiiHHI", data, 10)
        if bits == 0 and compression in (_JPEG_OR_RLE24, _PNG):
            return data[offset:]
    return data


def parse(data: bytes) -> Bmp:
    """Parse the headers of a BMP.

    Raises:
        struct.error: They are truncated.
        ValueError: They are invalid.
    """
    offset, header_bytes = struct.unpack_from("<II", data, 10)
    if header_bytes == 12:  # OS/2 1
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = data_bytes = colours = 0
    elif 16 <= header_bytes <= 64 or header_bytes in (108, 124):  # OS/2 2 may end early
        fields = struct.unpack_from(f"{header_bytes - 4}s", data, 18)[0].ljust(32, b"\0")
        width, height, _, bits, compression, data_bytes, _, _, colours = struct.unpack_from(
            "<iiHHIIiiI", fields
        )
    else:
        raise ValueError(f"a BMP has no header of {header_bytes} bytes")
    if width <= 0 or height == 0:
        raise ValueError(f"a BMP of {width} × {height} pixels")
    if bits not in (0, 1, 2, 4, 8, 16, 24, 32, 64):
        raise ValueError(f"a BMP of {bits} bits a pixel")
    at = 14 + header_bytes
    masks = _DEFAULT_MASKS.get(bits, ())
    if masks and compression in (_BITFIELDS, _ALPHA_BITFIELDS):
        has_alpha = header_bytes >= 56 or compression == _ALPHA_BITFIELDS
        given = struct.unpack_from("<4I" if has_alpha else "<3I", data, 54)
        masks = given + (0,) * (4 - len(given)) if any(given) else masks
        at = max(at, 54 + 4 * len(given))
    palette = np.zeros((256, 3), np.uint8)
    if bits <= 8:
        entry_bytes = 3 if header_bytes == 12 else 4
        number = min(colours or 256, 1 << bits)
        at_most = (offset - at) // entry_bytes if offset > at else number  # OS/2 cuts it short
        number = max(0, min(number, at_most, (len(data) - at) // entry_bytes))
        entries = np.frombuffer(data[at : at + number * entry_bytes], np.uint8)
        palette[:number] = entries.reshape(-1, entry_bytes)[:, 2::-1]
        at += number * entry_bytes
    return Bmp(
        data=data,
        width=width,
        height=abs(height),
        is_top_down=height < 0,
        bits=bits,
        compression=compression,
        data_bytes=data_bytes,
        masks=masks,
        palette=palette,
        offset=offset or at,
    )


def decode(image: Bmp) -> Bytes:
    """Return the pixels in RGB. Transparent and missing pixels are white.

    Raises:
        InvalidImageError: The variant is unknown (``unsupported_format``).
        ValueError: Half of the picture or more is missing.
    """
    if image.is_run_length_encoded:
        draw = _draw_runs
    elif (image.compression == _RAW and image.bits in (1, 2, 4, 8, 16, 24, 32)) or (
        image.compression in (_BITFIELDS, _ALPHA_BITFIELDS) and image.bits in (16, 24, 32)
    ):
        draw = _draw_rows
    else:
        raise InvalidImageError(
            f"a BMP with compression {image.compression} of {image.bits} bits is not supported",
            code="unsupported_format",
        )
    pixels = np.full((image.height, image.width, 3), 255, np.uint8)
    draw(image, pixels if image.is_top_down else pixels[::-1])
    return pixels


def _draw_rows(image: Bmp, pixels: Bytes) -> None:
    there = len(image.data) - image.offset
    number = min(image.height, (there + image.stride - image.row_bytes) // image.stride)
    if number * 2 <= image.height:
        raise ValueError(f"{max(number, 0)} of {image.height} rows are there")
    body = image.data[image.offset : image.offset + number * image.stride]
    body = body.ljust(number * image.stride, b"\0")  # the last row may lack its padding
    rows = np.frombuffer(body, np.uint8).reshape(number, image.stride)
    step = max(1, _BLOCK_PX // image.width)
    blocks = [slice(top, min(top + step, number)) for top in range(0, number, step)]
    alpha = image.masks[3] if image.masks else 0
    if not any((_values(image, rows[block]) & alpha).any() for block in blocks if alpha):
        alpha = 0
    for block in blocks:
        pixels[block] = _colours(image, rows[block], alpha)


def _colours(image: Bmp, rows: Bytes, alpha_mask: int) -> Bytes:
    """Return stored rows in RGB, on white."""
    if image.bits == 24:
        return rows[:, : image.width * 3].reshape(-1, image.width, 3)[..., ::-1]
    if image.bits <= 8:
        shifts = np.arange(8 - image.bits, -1, -image.bits, dtype=np.uint8)
        indices = rows[..., None] >> shifts & (1 << image.bits) - 1
        colours: Bytes = image.palette[indices.reshape(len(rows), -1)[:, : image.width]]
        return colours
    places = [_BYTE_MASKS[mask] for mask in image.masks[:3] if mask in _BYTE_MASKS]
    if image.bits == 32 and len(places) == 3 and not alpha_mask:
        return rows.reshape(len(rows), -1, 4)[:, :, places]
    values = _values(image, rows)
    levels = np.stack([_levels(values, mask) for mask in image.masks[:3]], axis=-1)
    if alpha_mask:
        alpha = _levels(values, alpha_mask)[..., None] / 255
        levels = levels * alpha + 255 * (1 - alpha)
    return np.rint(levels).astype(np.uint8)


def _values(image: Bmp, rows: Bytes) -> npt.NDArray[np.unsignedinteger]:
    """Return the pixels of stored rows as numbers of 16 or 32 bits."""
    return rows.view(np.dtype(f"<u{image.bits // 8}"))[:, : image.width]


def _levels(values: npt.NDArray[np.unsignedinteger], mask: int) -> npt.NDArray[np.floating]:
    """Return the samples under a mask, scaled to 0–255."""
    lowest = mask & -mask or 1
    levels: npt.NDArray[np.floating] = (values & mask) // lowest * (255 / (mask // lowest or 1))
    np.rint(levels, out=levels)
    return levels


def _draw_runs(image: Bmp, pixels: Bytes) -> None:
    data, width, height = image.data, image.width, image.height
    unit = 3 if image.is_rle24 else 1
    values, is_set = bytearray(width * height * unit), bytearray(width * height)
    at, x, y = image.offset, 0, 0
    while y < height:
        if at + 2 > len(data):
            if is_set.count(1) * 2 <= len(is_set):
                raise ValueError("half of the picture or more is missing")
            break
        number, code = data[at], data[at + 1]
        at += 2
        if number:
            if unit == 3:
                run = data[at - 1 : at + 2] * number
                at += 2
            elif image.bits == 4:
                run = bytes((code >> 4, code & 15)) * (number + 1 >> 1)
            else:
                run = bytes((code,)) * number
        elif code == 0:
            x, y = 0, y + 1
            continue
        elif code == 1:
            break
        elif code == 2:
            right, up = data[at : at + 2].ljust(2, b"\0")
            at, x, y = at + 2, x + right, y + up
            continue
        else:
            number = code
            size = (number + 1) // 2 if image.bits == 4 else number * unit
            run = data[at : at + size]
            if image.bits == 4:
                run = bytes(half for both in run for half in (both >> 4, both & 15))
            at += size + size % 2
        number = min(number, width - x, len(run) // unit)
        if number > 0 and y < height:
            place = y * width + x
            values[place * unit : (place + number) * unit] = run[: number * unit]
            is_set[place : place + number] = b"\1" * number
            x += number
    flat = np.frombuffer(values, np.uint8).reshape(height, width, unit)
    there = np.frombuffer(is_set, np.bool_).reshape(height, width)
    pixels[there] = flat[there][:, ::-1] if unit == 3 else image.palette[flat[there][:, 0]]
