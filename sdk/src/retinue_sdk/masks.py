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
    rest = runs.copy()
    rest[3:] -= runs[1:-2]
    # A column for each digit of five bits, the lowest first. 0 where a number has fewer digits.
    digits = []
    more = np.ones(len(rest), np.bool_)
    while more.any():
        bits, rest, used = rest & 0x1F, rest >> 5, more
        more = used & (rest != -(bits >> 4))
        digits.append(np.where(used, bits + 0x20 * more + 48, 0).astype(np.uint8))
    text = np.stack(digits, axis=1)
    return {"size": list(mask.shape), "counts": text[text > 0].tobytes().decode("ascii")}


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
