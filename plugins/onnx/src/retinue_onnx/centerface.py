"""CenterFace: faces with five landmarks (https://github.com/Star-Clouds/CenterFace, MIT).

For each cell of 4 × 4 pixels the network returns the likelihood that a face is centred there, the
logarithm of its height and width, the centre's position in the cell, and the landmarks as ratios of
the box (https://arxiv.org/abs/1911.03599).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from retinue_sdk import Image, Pixels

from retinue_onnx.candidates import Candidates, Floats
from retinue_onnx.letterbox import Placement, letterboxed
from retinue_onnx.preprocessing import Preprocessing
from retinue_onnx.session import Array
from retinue_onnx.suppression import suppressed

STRIDE_PX = 4
"""Size of a cell of the outputs, in pixels of the canvas (``decode`` in centerface.py)."""

MULTIPLE_PX = 32
"""The network halves its input five times, so sides are multiples of 2⁵."""

MAX_IOU = 0.3
"""Faces that overlap more count as one (``nms`` in centerface.py)."""

CHANNELS = (1, 2, 2, 10)
"""Channels of the outputs, in order: heatmap, scale (height, width), offset (y, x), landmarks
(y, x five times).
"""


@dataclass(frozen=True, slots=True)
class CenterFace:
    """CenterFace, on canvases with the image's proportions.

    Attributes:
        max_side_px: Maximum side of a canvas, in pixels; a multiple of 32.
        height: Height that the network requires, in pixels; ``None`` for any.
        width: Width that the network requires, in pixels; ``None`` for any.
    """

    max_side_px: int
    height: int | None = None
    width: int | None = None

    preprocessing: ClassVar[Preprocessing] = Preprocessing.of("letterbox", "0-255")

    @property
    def name(self) -> str:
        """Return the name for the raw response."""
        return "centerface"

    def place(self, image: Image) -> tuple[Pixels, Placement]:
        """Letterbox on black, onto the smallest canvas that contains the image.

        An image is shrunk to the maximum side. A smaller one is padded to multiples of 32.
        """
        size_px = image.measure()
        longest = max(size_px)
        scale = min(1.0, self.max_side_px / longest)
        width, height = (-(-max(round(s * scale), 1) // MULTIPLE_PX) for s in size_px)
        return letterboxed(
            image,
            height=self.height or height * MULTIPLE_PX,
            width=self.width or width * MULTIPLE_PX,
        )

    def read(self, outputs: Sequence[Array], count: int, threshold: float) -> list[Candidates]:
        """Decode cells whose likelihood reaches the threshold, and suppress overlapping boxes."""
        return [self._read_one([output[i] for output in outputs], threshold) for i in range(count)]

    def _read_one(self, maps: Sequence[Floats], threshold: float) -> Candidates:
        heatmap, scale, offset, landmarks = maps
        rows, columns = np.nonzero(heatmap[0] >= threshold)
        size = np.exp(scale[:, rows, columns]).T[:, ::-1] * STRIDE_PX  # width, height
        cells = np.stack([columns, rows], axis=1)
        centres = (cells + offset[:, rows, columns].T[:, ::-1] + 0.5) * STRIDE_PX
        corners = centres - size / 2
        boxes = np.concatenate([corners, corners + size], axis=1).astype(np.float32)
        ratios = landmarks[:, rows, columns].T.reshape(len(rows), 5, 2)[..., ::-1]  # x, y
        points = (corners[:, None] + ratios * size[:, None]).astype(np.float32)
        found = Candidates.of(
            boxes, heatmap[0, rows, columns], np.zeros(len(rows), np.int64), points
        )
        return suppressed(found, max_iou=MAX_IOU)
