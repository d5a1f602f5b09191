"""Crop single faces from an image."""

import math
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from retinue_sdk import BoundingBox

if TYPE_CHECKING:
    from retinue_sdk import Pixels

MIN_SIDE_PX = 160
"""Minimum side of a crop, in pixels. Rekognition refuses less than 80."""

MAX_SIDE_PX = 1_024
"""Maximum side of a crop, in pixels. As PNG, it stays well below 5 MB."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of an image.

    Attributes:
        png: The part as a PNG file.
        area: The position in the image.
    """

    png: bytes
    area: BoundingBox

    def in_image(self, box: BoundingBox) -> BoundingBox:
        """Return a box in the crop as a box in the image."""
        return BoundingBox(
            self.area.left + box.left * self.area.width,
            self.area.top + box.top * self.area.height,
            box.width * self.area.width,
            box.height * self.area.height,
        )


def crop(pixels: "Pixels", face: BoundingBox, *, margin: float) -> Crop | None:
    """Crop a face.

    Args:
        pixels: The image.
        face: The face's box.
        margin: The margin on each side, as a ratio of the face's size.

    Returns:
        The crop; ``None`` if the box is outside the image.
    """
    height, width = pixels.shape[:2]
    wide = BoundingBox(
        face.left - margin * face.width,
        face.top - margin * face.height,
        face.width * (1 + 2 * margin),
        face.height * (1 + 2 * margin),
    ).clipped()
    left, top = int(wide.left * width), int(wide.top * height)
    right, bottom = math.ceil(wide.right * width), math.ceil(wide.bottom * height)
    if right - left < 1 or bottom - top < 1:
        return None
    import numpy as np
    from PIL import Image as PillowImage

    part = PillowImage.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
    scale = max(MIN_SIDE_PX / min(part.size), 1.0)
    scale = min(scale, MAX_SIDE_PX / max(part.size))
    if scale != 1:
        size = (max(80, round(part.width * scale)), max(80, round(part.height * scale)))
        part = part.resize(size, PillowImage.Resampling.BICUBIC)
    file = BytesIO()
    part.save(file, "PNG")
    area = BoundingBox.from_edges(left, top, right, bottom, width=width, height=height)
    return Crop(file.getvalue(), area)
