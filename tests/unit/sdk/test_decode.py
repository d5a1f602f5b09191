"""Decoding: every kind of picture looks as a person would see it."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags
from PIL import Image as PillowImage
from retinue_sdk import BoundingBox, Image
from retinue_sdk.decode import FORMATS, decode, decode_smaller, shrink_of
from unit.sdk.pictures import LIMITS, chunk, is_close, photo, png, saved

# Pillow warns of oddities in files. Outside tests a warning is no error, so neither is it here.
pytestmark = pytest.mark.filterwarnings("ignore")

WRITTEN = [form for form in FORMATS if form != "HEIF"]  # which no library here writes


@pytest.mark.parametrize("form", WRITTEN)
def test_every_format_is_decoded(form: str) -> None:
    pixels = decode(saved(photo(), form), LIMITS)
    assert pixels.shape == (32, 48, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert not pixels.flags.writeable
    assert is_close(pixels, photo())


TURNS = {  # which turn of the photo a camera stores, and Exif's number for it
    2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
    3: PillowImage.Transpose.ROTATE_180,
    4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
    5: PillowImage.Transpose.TRANSPOSE,
    6: PillowImage.Transpose.ROTATE_90,
    7: PillowImage.Transpose.TRANSVERSE,
    8: PillowImage.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("wanted", [(1, 1), (24, 16), (25, 16), (48, 4), (100, 100)])
def test_an_image_is_resized_upright(form: str, orientation: int, wanted: tuple[int, int]) -> None:
    exif = PillowImage.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    turned = photo() if orientation == 1 else photo().transpose(TURNS[orientation])
    image = Image.from_bytes(saved(turned, form, exif=exif.tobytes()))
    if form in ("GIF", "BMP") and orientation != 1:
        return  # they have no EXIF
    pixels = image.resized_pixels(*wanted)
    assert pixels.shape == (wanted[1], wanted[0], 3)
    assert image.measure() == (48, 32)
    assert is_close(pixels, photo().resize(wanted, PillowImage.Resampling.BILINEAR))
    # Only a JPEG has been decoded at a fraction of its size.
    is_smaller = form == "JPEG" and wanted in ((1, 1), (24, 16))
    assert image.is_loaded(pixels=True) == (not is_smaller)
    assert (image.resized_pixels(*wanted) == pixels).all()


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_part_is_resized(form: str) -> None:
    picture = photo().resize((192, 128))
    image = Image.from_bytes(saved(picture, form))
    part = BoundingBox.from_edges(0.25, 0.5, 1, 1, width=1, height=1)
    expected = picture.crop((48, 64, 192, 128)).resize((36, 16), PillowImage.Resampling.BILINEAR)
    assert is_close(image.resized_pixels(36, 16, part=part), expected)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colours_are_resized_in_rgb(mode: str) -> None:
    image = Image.from_bytes(saved(photo().convert(mode), "JPEG"))
    expected = photo().convert(mode).convert("RGB").resize((24, 16))
    assert is_close(image.resized_pixels(24, 16), expected)


def test_the_same_pixels_serve_every_size() -> None:
    image = Image.from_bytes(saved(photo(), "PNG"))
    pixels = image.pixels()
    image.resized_pixels(8, 8)
    assert image.pixels() is pixels


def test_every_shrink_leaves_what_is_asked() -> None:
    for side in range(1, 70):
        for wanted in range(1, 70):
            shrink = shrink_of((side, side), (wanted, wanted))
            assert side // shrink >= min(wanted, side)
            picture = saved(PillowImage.new("RGB", (side, 70)), "JPEG")
            if wanted == 1:
                decoded = decode_smaller(picture, LIMITS, shrink=shrink)
                assert decoded.width == -(-side // shrink)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "GIF"])
def test_lossless_formats_keep_every_pixel(form: str) -> None:
    assert np.array_equal(decode(saved(photo(), form), LIMITS), np.asarray(photo()))


def test_the_smallest_image() -> None:
    for form in WRITTEN:
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


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_of_an_animation_the_first_frame_counts(form: str) -> None:
    other = PillowImage.new("RGB", photo().size, "black")
    data = saved(photo(), form, save_all=True, append_images=[other, other])
    assert is_close(decode(data, LIMITS), photo())


# Orientation


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_upright(form: str, orientation: int) -> None:
    # How a camera held so writes the picture: the inverse of what turns it upright.
    method = TURNS.get(orientation)
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
