"""Open-NSFW: how likely an image is pornographic.

Upstream is https://github.com/yahoo/open_nsfw, under the BSD-2-Clause licence.

The network saw JPEGs in training, and compression changes its scores. So the image is compressed
after resizing, as upstream does.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import ClassVar

import numpy as np
from PIL import Image as PillowImage
from retinue_sdk import Image, Pixels

from retinue_onnx.letterbox import Placement, stretched
from retinue_onnx.preprocessing import Preprocessing
from retinue_onnx.session import Array

RESIZED_PX = 256
SIDE_PX = 224
"""The centre of the resized image is the network's input (``classify_nsfw.py``)."""

MEAN = (123.0, 117.0, 104.0)
"""Red, green and blue."""


class OpenNsfw:
    """Open-NSFW, a thin ResNet-50."""

    preprocessing: ClassVar[Preprocessing] = Preprocessing("stretch", 0, "bgr", MEAN, (1, 1, 1))

    @property
    def name(self) -> str:
        """Return the name for the raw response."""
        return "open-nsfw"

    def place(self, image: Image) -> tuple[Pixels, Placement]:
        """Stretch, compress and cut off the edges."""
        resized, placement = stretched(image, height=RESIZED_PX, width=RESIZED_PX)
        file = BytesIO()
        PillowImage.fromarray(resized).save(file, "JPEG")
        compressed = np.asarray(PillowImage.open(file))
        edge = (RESIZED_PX - SIDE_PX) // 2
        return compressed[edge : edge + SIDE_PX, edge : edge + SIDE_PX], placement

    def read(self, outputs: Sequence[Array], count: int, threshold: float) -> list[float | None]:
        """Return the probability that the image is pornographic; ``None`` below the threshold."""
        return [float(p) if p >= threshold else None for p in outputs[0][:count, 1]]
