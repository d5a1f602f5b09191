"""Decoding: AVIF and HEIF, which are boxes within boxes, as phones write them."""

import struct
import sys
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image as PillowImage
from retinue_sdk import ImageLimits, InvalidImageError
from retinue_sdk.decode import decode, is_truncated, measure, pixels
from unit.sdk.pictures import HEIC, LIMITS, TURNED_HEIC, is_close, photo, refusal, saved

# Pillow warns of oddities in files. Outside tests a warning is no error, so neither is it here.
pytestmark = pytest.mark.filterwarnings("ignore")

AVIF = saved(photo(128, 96), "AVIF")


def test_an_iphones_picture_is_decoded_upright() -> None:
    assert is_close(decode(HEIC, LIMITS), photo(128, 96))
    turned = photo(128, 96).transpose(PillowImage.Transpose.ROTATE_270)
    assert is_close(decode(TURNED_HEIC, LIMITS), turned)
    assert measure(TURNED_HEIC, LIMITS) == turned.size


def test_transparency_is_laid_on_white() -> None:
    image = photo(128, 96)
    image.putalpha(PillowImage.new("L", image.size, 0))
    assert decode(saved(image, "AVIF"), LIMITS).min() > 250


@pytest.mark.parametrize("data", [AVIF, HEIC])
def test_size_limits_hold(data: bytes) -> None:
    assert measure(data, ImageLimits(max_px=128 * 96)) == (128, 96)
    assert refusal(data, ImageLimits(max_px=128 * 96 - 1)).code == "too_many_pixels"


@pytest.mark.parametrize("data", [AVIF, HEIC])
def test_a_size_that_is_not_the_pictures_does_not_get_past_the_limit(data: bytes) -> None:
    at = data.index(b"ispe") + 8
    for width, height in ((64, 64), (20_000, 20_000), (2**31, 2**31)):
        lying = data[:at] + struct.pack(">II", width, height) + data[at + 8 :]
        try:
            shape = decode(lying, ImageLimits(max_px=100 * 100)).shape
        except InvalidImageError:
            continue
        assert shape == (height, width, 3)


@cache
def whole(data: bytes) -> "pixels.Pixels":
    return decode(data, LIMITS)


@given(st.sampled_from([AVIF, HEIC]), st.floats(0, 1, exclude_max=True))
@example(AVIF, 32.5 / len(AVIF))  # behind the first box
@example(AVIF, (AVIF.index(b"mdat") - 3.5) / len(AVIF))
@example(HEIC, (HEIC.index(b"mdat") - 3.5) / len(HEIC))
def test_a_truncated_file_is_refused_or_shows_the_same(data: bytes, share: float) -> None:
    assert not is_truncated(data)
    cut = data[: max(20, int(len(data) * share))]
    if is_truncated(cut):
        assert refusal(cut).code == "corrupt_image"
    else:
        assert np.array_equal(decode(cut, LIMITS), whole(data))


def test_without_the_library_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels._register_heif.cache_clear()
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    error = refusal(HEIC)
    assert error.code == "unsupported_format"
    assert "retinue-sdk[heif]" in str(error)
    assert decode(AVIF, LIMITS).shape == (96, 128, 3)
