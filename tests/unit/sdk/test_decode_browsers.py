"""Decoding: what a browser makes of metadata, of animations, and of what it does not know."""

import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import PngImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from retinue_sdk import InvalidImageError
from retinue_sdk.decode import decode, measure
from unit.sdk.pictures import LIMITS, is_close, photo, saved

# Pillow warns of oddities in files. Outside tests a warning is no error, so neither is it here.
pytestmark = pytest.mark.filterwarnings("ignore")

ORIENTATION, XMP = 0x0112, 700
TURNED_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    b'tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def with_xmp(form: str, **options: Any) -> bytes:
    """Return the photo with an orientation in XMP."""
    match form:
        case "PNG":
            text = PngImagePlugin.PngInfo()
            text.add_itxt("XML:com.adobe.xmp", TURNED_XMP.decode())
            return saved(photo(), form, pnginfo=text, **options)
        case "TIFF":
            tags = ImageFileDirectory_v2()
            tags[XMP] = TURNED_XMP
            for tag, value in options.pop("exif", {}).items():
                tags[tag] = value
            return saved(photo(), form, tiffinfo=tags, **options)
    return saved(photo(), form, xmp=TURNED_XMP, **options)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
def test_an_orientation_in_xmp_does_not_count(form: str) -> None:
    data = with_xmp(form)
    assert form == "GIF" or b"tiff:Orientation" in data
    assert is_close(decode(data, LIMITS), photo())
    assert measure(data, LIMITS) == photo().size


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_counts_beside_xmp_and_the_size_is_that_of_the_pixels(
    form: str, orientation: int
) -> None:
    exif = PillowImage.Exif()
    exif[ORIENTATION] = orientation
    plain = decode(saved(photo(), form, exif=exif), LIMITS)
    for data in (saved(photo(), form, exif=exif), with_xmp(form, exif=exif)):
        assert np.array_equal(decode(data, LIMITS), plain)
        assert measure(data, LIMITS) == plain.shape[1::-1]
    assert plain.shape[:2] == ((48, 32) if orientation >= 5 else (32, 48))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
@pytest.mark.parametrize("orientation", range(5, 9))
def test_a_tiff_on_its_side_is_measured_as_it_is_shown(compression: str, orientation: int) -> None:
    data = saved(photo(), "TIFF", compression=compression, tiffinfo={ORIENTATION: orientation})
    assert measure(data, LIMITS) == (32, 48)
    assert decode(data, LIMITS).shape == (48, 32, 3)


# Canvas


def gif(frame: PillowImage.Image, at: tuple[int, int], canvas: tuple[int, int]) -> bytes:
    """Return an animated GIF whose first frame covers a part of the canvas, on a background."""
    other = frame.transpose(PillowImage.Transpose.ROTATE_180)
    data = bytearray(saved(frame, "GIF", save_all=True, append_images=[other]))
    place = data.index(struct.pack("<cHHHH", b",", 0, 0, *frame.size))
    data[place + 1 : place + 5] = struct.pack("<HH", *at)
    data[6:12] = struct.pack("<HHBB", *canvas, data[10], 0)
    return bytes(data)


def test_what_the_first_frame_of_a_gif_does_not_cover_is_transparent() -> None:
    frame = PillowImage.new("P", (16, 8), 1)
    frame.putpalette([255, 0, 0, 10, 20, 30, 40, 50, 60, 70, 80, 90])
    frame.paste(2, (3, 2, 9, 7))
    for canvas, at in [
        ((40, 30), (5, 7)),
        ((40, 30), (24, 22)),
        ((16, 30), (0, 0)),
        ((9, 9), (3, 5)),
    ]:
        data = gif(frame, at, canvas)
        wanted = PillowImage.new(
            "RGB", (max(canvas[0], at[0] + 16), max(canvas[1], at[1] + 8)), "white"
        )
        wanted.paste(frame.convert("RGB"), at)
        assert np.array_equal(decode(data, LIMITS), np.asarray(wanted))
        assert measure(data, LIMITS) == wanted.size


def webp(frame: PillowImage.Image, at: tuple[int, int], canvas: tuple[int, int]) -> bytes:
    """Return an animated WebP of one opaque frame, which covers a part of the canvas."""
    pixels = saved(frame, "WEBP", lossless=True)[12:]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    def three(*values: int) -> bytes:
        return b"".join(value.to_bytes(3, "little") for value in values)

    head = b"\2\0\0\0" + three(canvas[0] - 1, canvas[1] - 1)
    place = three(at[0] // 2, at[1] // 2, frame.width - 1, frame.height - 1, 100) + b"\2"
    body = chunk(b"VP8X", head) + chunk(b"ANIM", bytes(6)) + chunk(b"ANMF", place + pixels)
    return chunk(b"RIFF", b"WEBP" + body)


def test_what_the_first_frame_of_a_webp_does_not_cover_is_transparent() -> None:
    frame = photo(16, 8)
    for canvas, at in [((40, 30), (6, 8)), ((40, 30), (24, 22)), ((16, 8), (0, 0))]:
        wanted = PillowImage.new("RGB", canvas, "white")
        wanted.paste(frame, at)
        data = webp(frame, at, canvas)
        assert np.array_equal(decode(data, LIMITS), np.asarray(wanted))


# Standard error is where the log is


def test_hostile_files_write_nothing_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    chance = np.random.default_rng(1)
    failed = 0
    for form, compressions in {
        "TIFF": ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma"],
        "JPEG": ["raw"],
        "WEBP": ["raw"],
        "GIF": ["raw"],
    }.items():
        for compression in compressions:
            for _ in range(30):
                data = bytearray(saved(photo(), form, compression=compression))
                for at in chance.integers(8, len(data), 30):
                    data[at] = chance.integers(256)
                for file in (bytes(data), bytes(data[: len(data) // 2])):
                    try:
                        decode(file, LIMITS)
                    except InvalidImageError:
                        failed += 1
    assert failed > 100
    written = capfd.readouterr()
    assert (written.out, written.err) == ("", "")
