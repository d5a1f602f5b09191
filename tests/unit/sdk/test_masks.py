"""Masks are those of pycocotools."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco
from retinue_sdk.masks import decode_mask, encode_mask


@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_masks_are_encoded_as_by_pycocotools(mask: np.ndarray) -> None:
    encoded = encode_mask(mask)
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert encoded == {"size": list(mask.shape), "counts": theirs["counts"].decode()}
    assert (decode_mask(encoded) == mask).all()


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"size": [2, 2]},
        {"size": [2], "counts": "4"},
        {"size": [2, 2], "counts": "3"},
        {"size": [2, 2], "counts": [4]},
        {"size": [2, 2], "counts": "é"},
        {"size": [2, 2], "counts": "o"},
        {"size": [10**5, 10**5], "counts": ""},
        {"size": [-2, -2], "counts": "4"},
    ],
)
def test_other_values_are_no_masks(stored: dict) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - some come from Python
        decode_mask(stored)
