"""Masks as run lengths, in COCO's compressed form.

A mask is ``{"size": [height, width], "counts": text}``. The text has the lengths of runs of pixels
outside and inside, column after column, as in ``rleToString`` of
https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c, so that pycocotools reads it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from retinue_sdk.json_value import Json

Mask = npt.NDArray[np.bool_]
"""Which pixels belong to a thing: shape (height, width)."""

MAX_PIXELS = 100_000_000
"""The largest mask that is decoded."""


def encode_mask(mask: Mask) -> dict[str, Json]:
    """Return a mask as JSON, for a detection's attribute ``mask``."""
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    # The first run is outside, if only of no pixels.
    before = [0, 0] if pixels.size and pixels[0] else [0]
    runs = np.diff(np.concatenate([before, changes, [pixels.size]]))
    numbers = runs.copy()
    numbers[3:] -= runs[1:-2]
    return {"size": list(mask.shape), "counts": _digits(numbers).tobytes().decode("ascii")}


def _digits(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Return the characters of numbers: for each, digits of five bits, the lowest first."""
    most = int(np.abs(numbers).max()).bit_length() // 5 + 1
    rest = numbers[:, None] >> np.arange(0, 5 * most, 5)  # a column for each digit
    bits = rest & 0x1F
    # The fifth bit of the last digit is the sign. Another digit follows while the rest differs.
    more = rest >> 5 != -(bits >> 4)
    characters = (bits + 0x20 * more + 48).astype(np.uint8)
    is_used = np.ones_like(more)
    is_used[:, 1:] = more[:, :-1]
    used: npt.NDArray[np.uint8] = characters[is_used]
    return used


def decode_mask(stored: Mapping[str, Any]) -> Mask:
    """Return the mask of an attribute.

    Raises:
        ValueError: It isn't a mask, or has more than 100 million pixels.
    """
    try:
        height, width = (int(side) for side in stored["size"])
        runs = _runs(stored["counts"])
    except (AttributeError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not a mask in COCO's compressed form: {error!r}") from error
    if not (height >= 0 and width >= 0 and height * width <= MAX_PIXELS):
        raise ValueError(f"a mask cannot have {width} × {height} pixels")
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError(f"the runs of a mask do not fill its {width} × {height} pixels")
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape((height, width), order="F")


def _runs(text: str) -> list[int]:
    data = text.encode("ascii")
    runs: list[int] = []
    position = 0
    while position < len(data):
        run, shift, more = 0, 0, True
        while more:
            bits = data[position] - 48
            run |= (bits & 0x1F) << shift
            more = bool(bits & 0x20)
            position, shift = position + 1, shift + 5
        if bits & 0x10:
            run -= 1 << shift
        runs.append(run + (runs[-2] if len(runs) > 2 else 0))
    return runs
