"""Decoding: what a PNG holds besides its picture neither costs the picture nor memory."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from retinue_sdk.decode import decode, measure
from unit.sdk.pictures import LIMITS, chunk, is_close, photo, refusal, saved

PLAIN = saved(photo(), "PNG")
HEADER_END = 33  # signature and IHDR
BOMB = zlib.compress(bytes(200 * 2**20), 1)


def with_chunks(*chunks: bytes, behind: bool = False) -> bytes:
    """Return the photo with chunks before its pixels, or behind them."""
    at = PLAIN.index(b"IEND") - 4 if behind else HEADER_END
    return PLAIN[:at] + b"".join(chunks) + PLAIN[at:]


def damaged(whole: bytes) -> bytes:
    """Return a chunk with a wrong checksum."""
    return whole[:-1] + bytes([whole[-1] ^ 1])


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (b"zTXt", b"Comment\0\0" + BOMB),
        (b"iTXt", b"Comment\0\1\0\0\0" + BOMB),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB),
        (b"zTXt", b"Raw profile type exif\0\0" + BOMB),
        (b"iCCP", b"profile\0\0" + BOMB),
        (b"tEXt", b"Comment\0" + b"A cat. " * 400_000),
        (b"teSt", BOMB),
    ],
)
def test_no_text_and_no_profile_costs_the_picture(kind: bytes, data: bytes, behind: bool) -> None:
    for number in (1, 3):
        for one in (chunk(kind, data), damaged(chunk(kind, data))):
            file = with_chunks(*[one] * number, behind=behind)
            assert np.array_equal(decode(file, LIMITS), np.asarray(photo()))
            assert measure(file, LIMITS) == photo().size


ANCILLARY = st.sampled_from(
    b"tEXt zTXt iTXt iCCP gAMA cHRM sRGB pHYs tIME bKGD hIST sPLT sBIT acTL fcTL fdAT cICP vpAg "
    b"eXIf".split()
)


@given(st.lists(st.tuples(ANCILLARY, st.binary(max_size=60), st.booleans(), st.booleans())))
@settings(deadline=None)
def test_no_ancillary_chunk_costs_the_picture(
    chunks: list[tuple[bytes, bytes, bool, bool]],
) -> None:
    file = PLAIN
    for kind, data, is_damaged, behind in chunks:
        one = damaged(chunk(kind, data)) if is_damaged else chunk(kind, data)
        at = file.rindex(b"IEND") - 4 if behind else HEADER_END
        file = file[:at] + one + file[at:]
    assert np.array_equal(decode(file, LIMITS), np.asarray(photo()))


def test_transparency_with_a_wrong_checksum_is_ignored() -> None:
    red = PillowImage.new("RGB", (2, 1), (255, 0, 0))
    file = saved(red, "PNG", transparency=(255, 0, 0))
    assert decode(file, LIMITS).min() == 255
    at = file.index(b"tRNS") - 4
    end = at + 12 + 6
    file = file[:at] + damaged(file[at:end]) + file[end:]
    assert np.array_equal(decode(file, LIMITS), np.asarray(red))


def exif(orientation: int) -> bytes:
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


@pytest.mark.parametrize("behind", [False, True])
def test_orientation_counts_wherever_it_is(behind: bool) -> None:
    file = with_chunks(chunk(b"eXIf", exif(6)), behind=behind)
    turned = photo().transpose(PillowImage.Transpose.ROTATE_270)
    assert is_close(decode(file, LIMITS), turned)
    assert measure(file, LIMITS) == turned.size
    file = with_chunks(damaged(chunk(b"eXIf", exif(6))), behind=behind)
    assert is_close(decode(file, LIMITS), photo())


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"IDAT"])
def test_a_wrong_checksum_of_a_critical_chunk_is_refused(kind: bytes) -> None:
    file = saved(photo().quantize(4), "PNG")
    at = file.index(kind) - 4
    end = at + 12 + int.from_bytes(file[at : at + 4])
    assert refusal(file[:at] + damaged(file[at:end]) + file[end:]).code == "corrupt_image"


@given(st.data())
@settings(deadline=None)
def test_no_damage_of_the_pixels_goes_unnoticed(data: st.DataObject) -> None:
    at = PLAIN.index(b"IDAT") + 4
    place = data.draw(st.integers(at, PLAIN.index(b"IEND") - 5))
    changed = bytearray(PLAIN)
    changed[place] ^= data.draw(st.integers(1, 255))
    assert refusal(bytes(changed)).code == "corrupt_image"


def test_pixels_in_many_chunks_are_read() -> None:
    at = PLAIN.index(b"IDAT") + 4
    stream = PLAIN[at : PLAIN.index(b"IEND") - 8]
    parts = [chunk(b"IDAT", stream[n : n + 1]) for n in range(len(stream))]
    file = PLAIN[:HEADER_END] + b"".join([*parts, chunk(b"IDAT", b""), chunk(b"IEND", b"")])
    assert np.array_equal(decode(file, LIMITS), np.asarray(photo()))
