"""Decoding: nasty files are refused before they cost memory or time."""

import struct

import pytest
from PIL import Image as PillowImage
from retinue_sdk import ImageLimits
from retinue_sdk.decode import decode
from retinue_sdk.limits import MAX_BYTES, MAX_PX
from unit.sdk.pictures import chunk, photo, png, refusal, saved

# Pillow warns of oddities in files. Outside tests a warning is no error, so neither is it here.
pytestmark = pytest.mark.filterwarnings("ignore")


def test_an_empty_file_is_refused() -> None:
    assert refusal(b"").code == "empty_file"


@pytest.mark.parametrize(
    "data",
    [
        b"Dear Sir or Madam, this is only called photo.jpg.",
        b"\0",
        b"\xff\xd8",
        b"\xff\xd8\xff" + b"garbage" * 20,
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


@pytest.mark.parametrize("form", ["EPS", "PDF", "ICO", "PPM", "TGA", "JPEG2000", "PCX"])
def test_formats_that_pillow_could_open_are_refused_all_the_same(form: str) -> None:
    assert refusal(saved(photo(), form)).code == "unsupported_format"


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


def test_a_jpeg_with_thousands_of_scans_is_refused() -> None:
    """Each takes as long as the first, and has a few bytes."""
    data = saved(PillowImage.new("RGB", (64, 64)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    assert decode(data[:-2] + last * 80 + data[-2:], ImageLimits()).shape == (64, 64, 3)
    error = refusal(data[:-2] + last * 100 + data[-2:])
    assert (error.code, str(error)) == ("corrupt_image", "the JPEG has too many scans")
    truncated = refusal(data[:-2] + last * 100)
    assert str(truncated) == "the JPEG has too many scans"


def test_a_sequential_jpeg_with_a_second_scan_of_all_colours_is_refused() -> None:
    """Its scans aren't counted, because libjpeg stops at the second."""
    data = saved(PillowImage.new("RGB", (64, 64)), "JPEG")
    scan = data[data.rindex(b"\xff\xda") : -2]
    for number in (1, 200):
        assert refusal(data[:-2] + scan * number + data[-2:]).code == "corrupt_image"


def test_scans_of_single_colours_are_counted() -> None:
    data = saved(PillowImage.new("RGB", (64, 64)), "JPEG")
    at = data.rindex(b"\xff\xda")
    one = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + data[at + 14 : -2]
    error = refusal(data[:at] + one * 101 + data[-2:])
    assert (error.code, str(error)) == ("corrupt_image", "the JPEG has too many scans")


def test_a_jpeg_with_thousands_of_segments_is_refused() -> None:
    """Pillow keeps each of them, in 200 bytes and more."""
    data = saved(PillowImage.new("RGB", (64, 64)), "JPEG")
    segment = b"\xff\xe5\x00\x04ab"
    assert decode(data[:2] + segment * 9_000 + data[2:], ImageLimits()).shape == (64, 64, 3)
    error = refusal(data[:2] + segment * 10_000 + data[2:])
    assert (error.code, str(error)) == ("corrupt_image", "the JPEG has too many segments")


def test_scans_in_metadata_and_after_the_picture_do_not_count() -> None:
    data = saved(PillowImage.new("RGB", (64, 64)), "JPEG")
    marker = b"\xff\xda\x00\x02"
    inside = b"\xff\xe5" + struct.pack(">H", 2 + 400 * len(marker)) + marker * 400
    assert decode(data[:2] + inside + data[2:] + marker * 400, ImageLimits()).shape == (64, 64, 3)


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
