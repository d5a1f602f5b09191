"""Decoding: no bytes whatever break it."""

import random
import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from fakes.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from retinue_sdk import ImageLimits, InvalidImageError
from retinue_sdk.decode import decode
from unit.sdk.pictures import CODES, TURNED_HEIC, photo, saved

# Pillow warns of oddities in files. Outside tests a warning is no error, so neither is it here.
pytestmark = pytest.mark.filterwarnings("ignore")

SMALL = ImageLimits(max_px=1_000_000)


def survives(data: bytes) -> None:
    try:
        pixels: npt.NDArray[np.uint8] = decode(data, SMALL)
    except InvalidImageError as error:
        code: str | None = error.code
    else:
        code = None
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
        assert pixels.size > 0
    assert code is None or code in CODES


@given(st.binary(max_size=500))
def test_no_bytes_break_the_decoder(data: bytes) -> None:
    survives(data)


HEADS = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0*"]


@given(st.sampled_from(HEADS), st.binary(max_size=300))
def test_no_bytes_after_a_proper_beginning_break_the_decoder(head: bytes, data: bytes) -> None:
    survives(head + data)
    survives(b"RIFF" + struct.pack("<I", len(data) + 4) + b"WEBP" + data)
    for brand in (b"avif", b"heic", b"mif1"):
        survives(b"\0\0\0\x14ftyp" + brand + bytes(4) + brand + data)


def _valid_files() -> list[bytes]:
    image = photo(24, 16)
    frames = {"save_all": True, "append_images": [PillowImage.new("RGB", (24, 16))]}
    orientation = PillowImage.Exif()
    orientation[0x0112] = 6
    writers: list[Callable[[], bytes]] = [
        lambda: saved(image, "JPEG", exif=orientation),
        lambda: saved(image, "JPEG", progressive=True),
        lambda: saved(image.convert("CMYK"), "JPEG"),
        lambda: saved(image, "PNG", exif=orientation),
        lambda: saved(image.convert("P"), "PNG", transparency=0),
        lambda: saved(image, "PNG", **frames),
        lambda: saved(image, "GIF", **frames),
        lambda: saved(image, "WEBP", exif=orientation),
        lambda: saved(image, "WEBP", **frames),
        lambda: saved(image, "BMP"),
        lambda: saved(image, "TIFF", compression="tiff_lzw"),
        lambda: saved(image, "TIFF", compression="jpeg"),
        lambda: saved(image.convert("I;16"), "TIFF"),
        lambda: saved(image.convert("F"), "TIFF"),
    ]
    return [write() for write in writers] + [saved(image, "AVIF", exif=orientation), TURNED_HEIC]


FILES = _valid_files()


@given(st.sampled_from(FILES), st.integers(0, 2**32), st.integers(1, 12))
@settings(max_examples=examples(2), deadline=None)
def test_no_change_of_a_valid_file_breaks_the_decoder(data: bytes, seed: int, changes: int) -> None:
    chance = random.Random(seed)
    changed = bytearray(data)
    for _ in range(changes):
        # Half of the changes near the beginning, where the headers are.
        end = len(changed) if chance.random() < 0.5 else min(len(changed), 100)
        at = chance.randrange(end)
        match chance.randrange(4):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                changed[at] ^= 1 << chance.randrange(8)
            case 2:
                changed[at : at + 4] = struct.pack("<I", chance.choice([0, 1, 2**31, 2**32 - 1]))
            case _:
                del changed[at : at + chance.randrange(1, 20)]
        if not changed:
            break
    survives(bytes(changed))


@given(st.sampled_from(FILES), st.floats(0, 1))
def test_no_truncation_breaks_the_decoder(data: bytes, share: float) -> None:
    survives(data[: int(len(data) * share)])
