"""Decoding: every kind of picture looks as a person would see it, and nasty files are refused."""

import random
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL import PngImagePlugin
from retinue_sdk import ImageLimits, InvalidImageError, Pixels
from retinue_sdk.decode import FORMATS, MAX_BYTES, MAX_PX, decode

# Pillow warns of oddities in files. Outside tests a warning is no error, so neither is it here.
pytestmark = pytest.mark.filterwarnings("ignore")

LIMITS = ImageLimits()
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
    assert caught.value.final
    assert str(caught.value)
    return caught.value


def is_close(pixels: Pixels, expected: PillowImage.Image, tolerance: int = 40) -> bool:
    """Whether nearly all pixels are alike: JPEG blurs the borders between the quarters."""
    wanted = np.asarray(expected, np.int16)
    if pixels.shape != wanted.shape:
        return False
    different = np.abs(pixels.astype(np.int16) - wanted).max(axis=2) > tolerance
    return float(different.mean()) < 0.15


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *before: bytes) -> bytes:
    """A PNG by hand, for what Pillow does not write."""
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


# What is decoded


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_decoded(form: str) -> None:
    pixels = decode(saved(photo(), form), LIMITS)
    assert pixels.shape == (32, 48, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert not pixels.flags.writeable
    assert is_close(pixels, photo())


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "GIF"])
def test_lossless_formats_keep_every_pixel(form: str) -> None:
    assert np.array_equal(decode(saved(photo(), form), LIMITS), np.asarray(photo()))


def test_the_smallest_image() -> None:
    for form in FORMATS:
        assert decode(saved(PillowImage.new("RGB", (1, 1), "white"), form), LIMITS).min() > 250


def test_cmyk_becomes_rgb() -> None:
    for form in ("JPEG", "TIFF"):
        assert is_close(decode(saved(photo().convert("CMYK"), form), LIMITS), photo())


def test_grey_becomes_rgb() -> None:
    pixels = decode(saved(photo().convert("L"), "JPEG"), LIMITS)
    assert pixels.shape == (32, 48, 3)
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_one_bit_is_black_and_white() -> None:
    bits = PillowImage.new("1", (9, 3))
    bits.putpixel((8, 2), 1)
    for form in ("PNG", "TIFF", "BMP"):
        pixels = decode(saved(bits, form), LIMITS)
        assert pixels[2, 8].tolist() == [255, 255, 255]
        assert pixels.sum() == 3 * 255


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(form: str) -> None:
    levels = np.array([[0, 255, 256, 32_768, 65_535]], np.uint16)
    pixels = decode(saved(PillowImage.fromarray(levels), form), LIMITS)
    assert pixels[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def test_16_bit_colour_is_scaled_not_clipped() -> None:
    row = struct.pack(">B6H", 0, 0, 32_768, 65_535, 65_535, 256, 0)
    pixels = decode(png(2, 1, 16, 2, row), LIMITS)
    assert pixels.tolist() == [[[0, 128, 255], [255, 1, 0]]]


def test_16_bit_grey_with_transparency_is_laid_on_white() -> None:
    row = struct.pack(">B4H", 0, 0, 65_535, 0, 0)
    pixels = decode(png(2, 1, 16, 4, row), LIMITS)
    assert pixels[0, :, 0].tolist() == [0, 255]


def test_a_transparent_16_bit_grey_is_laid_on_white() -> None:
    row = struct.pack(">B2H", 0, 515, 1_024)
    pixels = decode(png(2, 1, 16, 0, row, chunk(b"tRNS", struct.pack(">H", 515))), LIMITS)
    assert pixels[0, :, 0].tolist() == [255, 4]


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_laid_on_white(form: str) -> None:
    image = PillowImage.new("RGBA", (3, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 128))
    options = {"lossless": True} if form == "WEBP" else {}
    pixels = decode(saved(image, form, **options), LIMITS)
    assert pixels[0].tolist() == [[255, 0, 0], [255, 255, 255], [127, 127, 127]]


def test_transparent_grey_is_laid_on_white() -> None:
    image = PillowImage.new("LA", (2, 1), (10, 255))
    image.putpixel((1, 0), (10, 0))
    assert decode(saved(image, "PNG"), LIMITS)[0].tolist() == [[10] * 3, [255] * 3]


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_palette_is_laid_on_white(form: str) -> None:
    image = PillowImage.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    pixels = decode(saved(image, form, transparency=0), LIMITS)
    assert pixels[0].tolist() == [[255, 255, 255], [200, 100, 50]]


def test_a_palette_with_degrees_of_transparency_is_laid_on_white() -> None:
    image = PillowImage.new("P", (2, 1))
    image.putpalette([0, 0, 0, 200, 100, 50])
    image.putpixel((1, 0), 1)
    pixels = decode(saved(image, "PNG", transparency=bytes([128, 255])), LIMITS)
    assert pixels[0].tolist() == [[127, 127, 127], [200, 100, 50]]


def test_a_transparent_colour_without_palette_is_laid_on_white() -> None:
    image = PillowImage.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (9, 9, 9))
    pixels = decode(saved(image, "PNG", transparency=(1, 2, 3)), LIMITS)
    assert pixels[0].tolist() == [[255, 255, 255], [9, 9, 9]]


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_counts(form: str) -> None:
    other = PillowImage.new("RGB", photo().size, "black")
    data = saved(photo(), form, save_all=True, append_images=[other, other])
    assert is_close(decode(data, LIMITS), photo())


# Orientation


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_upright(form: str, orientation: int) -> None:
    # How a camera held so writes the picture: the inverse of what turns it upright.
    method = {
        2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
        3: PillowImage.Transpose.ROTATE_180,
        4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
        5: PillowImage.Transpose.TRANSPOSE,
        6: PillowImage.Transpose.ROTATE_90,
        7: PillowImage.Transpose.TRANSVERSE,
        8: PillowImage.Transpose.ROTATE_270,
    }.get(orientation)
    stored = photo() if method is None else photo().transpose(method)
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    assert is_close(decode(saved(stored, form, exif=exif), LIMITS), photo())


def exif(*entries: tuple[int, int, int, bytes], tail: bytes = b"") -> bytes:
    """EXIF data by hand: tag, type, count and value of each entry."""
    body = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    head = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries))
    return head + body + struct.pack("<I", 0) + tail


TURNED = (0x0112, 3, 1, struct.pack("<HH", 6, 0))


@pytest.mark.parametrize(
    "odd",
    [
        (0x8769, 4, 1, struct.pack("<I", 99_999)),  # EXIF directory beyond the end
        (0x8825, 4, 1, struct.pack("<I", 8)),  # GPS directory inside the main one
        (0x8825, 2, 4, b"abc\0"),
        (0x010F, 4, 1, b"\1\2\3\4"),  # the maker's name is a number
        (0x0100, 2, 4, b"abc\0"),  # the width is a text
        (0x011A, 1, 1, b"abc\0"),
        (0x9000, 99, 1, b"abcd"),
        (0x010F, 2, 100, struct.pack("<I", 60_000)),
    ],
)
def test_an_odd_tag_does_not_cost_the_orientation(odd: tuple[int, int, int, bytes]) -> None:
    stored = photo().transpose(PillowImage.Transpose.ROTATE_90)
    for entries in [(TURNED, odd), (odd, TURNED)]:
        data = saved(stored, "JPEG", exif=exif(*entries))
        assert is_close(decode(data, LIMITS), photo())


@pytest.mark.parametrize(
    "broken",
    [
        b"Exif\0\0",
        b"Exif\0\0garbage that is no TIFF at all",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        exif((0x0112, 3, 1, struct.pack("<HH", 9, 0))),
        exif((0x0112, 3, 1, struct.pack("<HH", 0, 0))),
        exif((0x0112, 2, 4, b"abc\0")),
        exif((0x0112, 5, 1, struct.pack("<I", 60_000))),
        exif(TURNED)[:20],
    ],
)
def test_broken_exif_does_not_cost_the_picture(broken: bytes) -> None:
    for form in ("JPEG", "PNG", "WEBP"):
        assert is_close(decode(saved(photo(), form, exif=broken), LIMITS), photo())


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_exif_costs_the_picture(data: st.DataObject) -> None:
    entry = st.tuples(
        st.sampled_from([0x8769, 0x8825, 0x010F, 0x011A, 0xA005, 0x927C, 0x0100, 0x014A])
        | st.integers(0, 65_535).filter(lambda tag: tag != 0x0112),
        st.integers(0, 16),
        st.sampled_from([0, 1, 2, 4, 100, 2**31]),
        st.binary(min_size=4, max_size=4),
    )
    entries = data.draw(st.lists(entry, max_size=3))
    tail = data.draw(st.binary(max_size=40))
    stored = photo().transpose(PillowImage.Transpose.ROTATE_90)
    pixels = decode(saved(stored, "JPEG", exif=exif(TURNED, *entries, tail=tail)), LIMITS)
    assert is_close(pixels, photo())


# What is refused


def test_an_empty_file_is_refused() -> None:
    assert refusal(b"").code == "empty_file"


@pytest.mark.parametrize(
    "data",
    [
        b"Dear Sir or Madam, this is only called photo.jpg.",
        b"\0",
        b"\xff\xd8",
        b"\x89PNG\r\n\x1a\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n",
        b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF\n",
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"PK\x03\x04" + b"\0" * 100,
    ],
)
def test_what_is_no_supported_image_is_refused(data: bytes) -> None:
    error = refusal(data)
    assert error.code == "unsupported_format"
    assert "JPEG" in str(error)


@pytest.mark.parametrize("form", ["EPS", "PDF", "ICO", "PPM", "TGA", "AVIF", "JPEG2000", "PCX"])
def test_formats_that_pillow_could_open_are_refused_all_the_same(form: str) -> None:
    assert refusal(saved(photo(), form)).code == "unsupported_format"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_file_is_refused(form: str, share: float) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    data = saved(PillowImage.fromarray(noise), form)
    refused = refusal(data[: int(len(data) * share)])
    assert refused.code in {"corrupt_image", "unsupported_format"}


def test_a_corrupt_file_is_refused() -> None:
    data = bytearray(saved(photo(), "PNG"))
    at = data.index(b"IDAT")
    data[at + 8 : at + 20] = b"\xff" * 12
    assert refusal(bytes(data)).code == "corrupt_image"


def test_a_file_over_the_limit_is_refused_unread() -> None:
    data = saved(photo(), "PNG")
    assert decode(data, ImageLimits(max_bytes=len(data))).shape == (32, 48, 3)
    assert refusal(data, ImageLimits(max_bytes=len(data) - 1)).code == "too_many_bytes"


def test_an_image_over_the_limit_is_refused_undecoded() -> None:
    data = saved(photo(), "PNG")
    assert decode(data, ImageLimits(max_px=48 * 32)).shape == (32, 48, 3)
    error = refusal(data, ImageLimits(max_px=48 * 32 - 1))
    assert error.code == "too_many_pixels"
    assert "48 × 32" in str(error)


@pytest.mark.parametrize("side_px", [10_000, 20_000, 60_000, 2**31 - 1])
def test_a_bomb_is_refused_by_its_header(side_px: int) -> None:
    data = png(side_px, side_px, 8, 0, bytes(100_000))
    assert len(data) < 1_000
    assert refusal(data).code == "too_many_pixels"


def test_a_gif_bomb_is_refused_by_its_header() -> None:
    data = bytearray(saved(PillowImage.new("P", (1, 1)), "GIF"))
    data[6:10] = struct.pack("<HH", 65_535, 65_535)
    assert refusal(bytes(data)).code == "too_many_pixels"


def test_a_frame_cannot_be_larger_than_the_header_says() -> None:
    data = bytearray(saved(PillowImage.new("P", (1, 1)), "GIF"))
    at = data.index(b"\x2c")
    data[at + 5 : at + 9] = struct.pack("<HH", 65_535, 65_535)
    assert refusal(bytes(data)).code in {"too_many_pixels", "corrupt_image"}


def test_a_second_header_does_not_get_past_the_limit() -> None:
    huge = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    refusal(png(1, 1, 8, 0, bytes(2), chunk(b"IHDR", huge)))


def test_a_text_bomb_is_refused_or_ignored() -> None:
    bomb = zlib.compress(bytes(200 * 2**20), 9)
    data = png(1, 1, 8, 0, b"\0\x80", chunk(b"zTXt", b"Comment\0\0" + bomb))
    assert len(data) < 2**20
    assert refusal(data).code == "corrupt_image"


def test_harmless_text_is_ignored() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "A cat. " * 1_000, zip=True)
    text.add_itxt("Titel", "日本")
    assert is_close(decode(saved(photo(), "PNG", pnginfo=text), LIMITS), photo())


@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
def test_a_raised_limit_holds_where_pillow_only_warns() -> None:
    side = 9_460
    assert MAX_PX < side * side < 2 * MAX_PX
    data = png(side, side, 1, 0, bytes((1 + (side + 7) // 8) * side))
    with pytest.warns(PillowImage.DecompressionBombWarning):
        assert decode(data, ImageLimits(max_px=2 * MAX_PX)).shape == (side, side, 3)
    with pytest.warns(PillowImage.DecompressionBombWarning):
        assert refusal(data).code == "too_many_pixels"


def test_limits_let_something_through() -> None:
    assert (ImageLimits().max_bytes, ImageLimits().max_px) == (MAX_BYTES, MAX_PX)
    assert PillowImage.MAX_IMAGE_PIXELS == MAX_PX
    for wrong in ({"max_bytes": 0}, {"max_px": 0}, {"max_px": 2 * MAX_PX + 1}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
            ImageLimits(**wrong)


# Whatever comes


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
@settings(max_examples=300, deadline=None)
def test_no_bytes_break_the_decoder(data: bytes) -> None:
    survives(data)


HEADS = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0*"]


@given(st.sampled_from(HEADS), st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_bytes_after_a_proper_beginning_break_the_decoder(head: bytes, data: bytes) -> None:
    survives(head + data)
    survives(b"RIFF" + struct.pack("<I", len(data) + 4) + b"WEBP" + data)


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
    return [write() for write in writers]


FILES = _valid_files()


@given(st.sampled_from(FILES), st.integers(0, 2**32), st.integers(1, 12))
@settings(max_examples=1_000, deadline=None)
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
@settings(max_examples=200, deadline=None)
def test_no_truncation_breaks_the_decoder(data: bytes, share: float) -> None:
    survives(data[: int(len(data) * share)])
