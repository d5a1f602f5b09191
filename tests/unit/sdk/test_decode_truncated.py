"""Decoding: a truncated file is looked at if it shows most of its picture, and is marked."""

import struct
import zlib
from bisect import bisect_left
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage
from retinue_sdk import Image, ImageLimits, InvalidImageError
from retinue_sdk.decode import Pixels, decode, is_truncated, measure
from unit.sdk.pictures import LIMITS, chunk, photo, refusal, saved

# Pillow warns of oddities in files. Outside tests a warning is no error, so neither is it here.
pytestmark = pytest.mark.filterwarnings("ignore")


@cache
def busy(mode: str = "RGB") -> PillowImage.Image:
    """Return a picture with as much detail everywhere, so that a file's bytes are spread evenly."""
    coarse = np.random.default_rng(1).integers(0, 255, (12, 16, 4), np.uint8)
    picture = PillowImage.fromarray(np.kron(coarse, np.ones((8, 8, 1), np.uint8)))
    if mode == "RGBA":
        picture.putalpha(picture.getchannel("A").point(lambda level: level // 2 + 100))
        return picture
    rgb = picture.convert("RGB")
    noise = np.random.default_rng(2).integers(0, 40, (96, 128, 3), np.uint8)
    rgb = PillowImage.fromarray(np.asarray(rgb) // 2 + noise)
    return rgb.quantize(64) if mode == "P" else rgb.convert(mode)


def adam7(picture: PillowImage.Image) -> bytes:
    """Return an interlaced PNG, which Pillow does not write."""
    pixels = np.asarray(picture)
    steps = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    rows = b"".join(
        b"\0" + row.tobytes()
        for top, left, down, right in [*steps, (1, 0, 2, 1)]
        for row in pixels[top::down, left::right]
    )
    header = struct.pack(">IIBBBBB", *picture.size, 8, 2, 0, 0, 1)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


def frames(mode: str = "RGB") -> dict[str, Any]:
    return {"save_all": True, "append_images": [busy(mode).transpose(PillowImage.Transpose(3))]}


LOSSLESS = {
    "png": saved(busy(), "PNG"),
    "png-palette": saved(busy("P"), "PNG"),
    "png-grey": saved(busy("L"), "PNG"),
    "png-16-bit": saved(busy("I;16"), "PNG"),
    "png-bits": saved(busy("1"), "PNG"),
    "png-alpha": saved(busy("RGBA"), "PNG"),
    "png-interlaced": adam7(busy()),
    "gif": saved(busy("P"), "GIF", interlace=0),
    "gif-interlaced": saved(busy("P"), "GIF", interlace=1),
    "gif-transparent": saved(busy("P"), "GIF", transparency=3, interlace=0),
    "gif-animated": saved(busy("P"), "GIF", **frames("P")),
    "webp-lossless": saved(busy(), "WEBP", lossless=True),
    "bmp": saved(busy(), "BMP"),
    "bmp-palette": saved(busy("P"), "BMP"),
}
LOSSY = {
    "jpeg": saved(busy(), "JPEG"),
    "jpeg-444": saved(busy(), "JPEG", subsampling=0, quality=95),
    "jpeg-grey": saved(busy("L"), "JPEG"),
    "jpeg-cmyk": saved(busy("CMYK"), "JPEG"),
    "jpeg-restarts": saved(busy(), "JPEG", restart_marker_rows=1),
    "webp": saved(busy(), "WEBP"),
    "webp-alpha": saved(busy("RGBA"), "WEBP"),
    "webp-animated": saved(busy(), "WEBP", **frames()),
}
PROGRESSIVE = {
    "jpeg-progressive": saved(busy(), "JPEG", progressive=True),
    "jpeg-progressive-grey": saved(busy("L"), "JPEG", progressive=True),
    "jpeg-progressive-fine": saved(busy(), "JPEG", progressive=True, quality=95),
}
FILES = {**LOSSLESS, **LOSSY, **PROGRESSIVE}


@cache
def whole(name: str) -> Pixels:
    return decode(FILES[name], LIMITS)


def shown(data: bytes) -> Pixels | None:
    """Return the pixels of a file; ``None`` if it is refused as corrupt."""
    try:
        return decode(data, LIMITS)
    except InvalidImageError as error:
        if error.code != "corrupt_image":
            raise
        return None


def right_share(name: str, pixels: Pixels, tolerance: int) -> float:
    """Return how many pixels are as in the whole file; of the others, all must be white."""
    different = np.abs(pixels.astype(int) - whole(name)).max(axis=2) > tolerance
    return 1 - float(different.mean())


@pytest.mark.parametrize("name", FILES)
def test_a_whole_file_is_not_truncated(name: str) -> None:
    assert not is_truncated(FILES[name])
    assert not is_truncated(FILES[name] + b"something behind it")


@given(st.sampled_from(sorted(FILES)), st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused_or_marked_or_shows_the_same(name: str, share: float) -> None:
    cut = FILES[name][: max(20, int(len(FILES[name]) * share))]
    pixels = shown(cut)
    if pixels is None:
        assert is_truncated(cut)
        return
    assert measure(cut, LIMITS) == pixels.shape[1::-1]
    assert is_truncated(cut) or np.array_equal(pixels, whole(name))


@given(st.sampled_from(sorted(LOSSLESS)), st.floats(0, 1, exclude_max=True))
def test_what_a_truncated_file_shows_is_right_and_the_rest_is_white(
    name: str, share: float
) -> None:
    pixels = shown(LOSSLESS[name][: max(20, int(len(LOSSLESS[name]) * share))])
    if pixels is None:
        return
    wrong = (pixels != whole(name)).any(axis=2) & (pixels != 255).any(axis=2)
    rows = np.flatnonzero(wrong.any(axis=1))
    if "interlaced" in name:  # a row of the last pass is like the one above it
        assert (rows % 2 == 1).all()
        above = np.roll(pixels, 1, axis=0)
        assert np.array_equal(pixels[wrong], above[wrong])
    else:
        # What follows the first missing pixel is like the row above, for one row's length.
        assert len(rows) <= 2
    assert (pixels == whole(name)).all(axis=2).mean() > 0.4


@pytest.mark.parametrize("name", {**LOSSLESS, **LOSSY})
def test_most_of_a_picture_is_looked_at_and_little_of_it_is_not(name: str) -> None:
    data = FILES[name]
    if "animated" in name:
        data = data[
            : bisect_left(range(len(data)), x=True, key=lambda n: not is_truncated(data[:n]))
        ]
    if name != "webp-alpha":  # whose colours come last
        mostly = shown(data[: int(len(data) * 0.8)])
        assert mostly is not None
        assert right_share(name, mostly, 12) > 0.5
    assert shown(data[: int(len(data) * 0.4)]) is None


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("jpeg")])
def test_a_jpeg_without_its_end_marker_shows_everything(name: str) -> None:
    for missing in (1, 2):
        cut = FILES[name][:-missing]
        assert is_truncated(cut)
        assert np.array_equal(decode(cut, LIMITS), whole(name))


@pytest.mark.parametrize("name", PROGRESSIVE)
def test_a_progressive_jpeg_is_refined_by_what_there_is(name: str) -> None:
    data = FILES[name]
    errors = []
    for share in (0.45, 0.6, 0.8, 0.95):
        pixels = shown(data[: int(len(data) * share)])
        assert pixels is not None
        errors.append(float(np.abs(pixels.astype(int) - whole(name)).mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 30
    assert shown(data[: int(len(data) * 0.1)]) is None


@pytest.mark.parametrize("name", PROGRESSIVE)
def test_a_progressive_jpeg_may_be_cut_anywhere_between_its_scans(name: str) -> None:
    data = FILES[name]
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    for at in scans[3:]:
        for near in range(at - 40, at + 14):
            assert shown(data[:near]) is not None


def test_a_grey_picture_counts_as_shown() -> None:
    grey = PillowImage.new("RGB", (64, 64), (128, 128, 128))
    for form in ("JPEG", "PNG"):
        cut = saved(grey, form)[: -2 if form == "JPEG" else -12]
        assert (decode(cut, LIMITS) == 128).all()


def test_an_image_knows_that_it_is_truncated() -> None:
    cut = Image.from_bytes(saved(photo(), "JPEG")[:-2])
    assert not cut.is_truncated
    cut.pixels()
    assert cut.is_truncated
    cut.forget()
    assert cut.is_truncated
    image = Image.from_bytes(saved(photo(), "JPEG"))
    image.pixels()
    assert not image.is_truncated


def test_a_size_that_a_webp_only_claims_costs_no_memory() -> None:
    data = bytearray(saved(photo(), "WEBP"))
    data[4:8] = b"\xf0\xff\xff\xff"
    assert refusal(bytes(data)).code == "corrupt_image"


def test_limits_hold_for_truncated_files() -> None:
    small = ImageLimits(max_px=48 * 32 - 1)
    for form in ("JPEG", "PNG", "GIF", "WEBP", "BMP"):
        assert refusal(saved(photo(), form)[:-9], small).code == "too_many_pixels"


# TIFF: nobody shows a truncated one.

COMPRESSIONS = ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "zstd", "lzma"]
TIFFS = [
    saved(busy(mode), "TIFF", compression=compression)
    for compression in COMPRESSIONS
    for mode in ("RGB", "L", "P", "RGBA", "CMYK")
    if (compression, mode) not in {("jpeg", "P"), ("jpeg", "CMYK")}
] + [
    saved(busy("1"), "TIFF", compression="group4"),
    saved(busy("I;16"), "TIFF"),
    saved(busy(), "TIFF", big_tiff=True),
]


@pytest.mark.parametrize("data", TIFFS, ids=range(len(TIFFS)))
def test_a_truncated_tiff_is_corrupt(data: bytes) -> None:
    assert not is_truncated(data)
    for share in range(1, 40):
        cut = data[: max(8, len(data) * share // 40)]
        assert is_truncated(cut)
        assert refusal(cut).code == "corrupt_image"


def test_a_tiff_of_an_unknown_kind_is_unsupported() -> None:
    data = bytearray(saved(photo(), "TIFF"))
    data[data.index(struct.pack("<HHI", 262, 3, 1)) + 8] = 99  # its colour space
    assert refusal(bytes(data)).code == "unsupported_format"


# Anything


HEADS = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"II+\0"]


@given(st.sampled_from([*HEADS, b"RIFF\0\1\0\0WEBP", b""]), st.binary(max_size=200))
def test_any_bytes_are_truncated_or_not(head: bytes, data: bytes) -> None:
    assert is_truncated(head + data) in {True, False}
