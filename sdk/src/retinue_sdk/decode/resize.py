"""Resize decoded images."""

import numpy as np
from PIL import Image as PillowImage

from retinue_sdk.box import BoundingBox
from retinue_sdk.decode.pixels import Pixels

_REDUCING_GAP = 2.0
"""Pillow may first shrink by whole factors if at least a factor of 2 remains. It is several times
faster for camera photos, and almost equal (Pillow's handbook, ``Image.resize``).
"""


def resized(picture: PillowImage.Image, width: int, height: int, part: BoundingBox) -> Pixels:
    """Return a part of an image, resized as ``Image.resized_pixels`` describes."""
    across, down = picture.size
    right, bottom = min(part.right, 1.0), min(part.bottom, 1.0)
    box = (part.left * across, part.top * down, right * across, bottom * down)
    small = picture.resize(
        (width, height), PillowImage.Resampling.BILINEAR, box, reducing_gap=_REDUCING_GAP
    )
    return np.asarray(small)
