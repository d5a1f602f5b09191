"""Bounding boxes in an image: from a network's canvas, and their contents."""

import numpy as np
from retinue_sdk import BoundingBox, Pixels

from retinue_onnx.candidates import Candidates
from retinue_onnx.letterbox import Placement


def bounding_boxes(candidates: Candidates, placement: Placement) -> list[BoundingBox]:
    """Return the candidates' boxes as ratios of the image. They may be partly outside it.

    A network can answer with a right edge that is left of the left one: the box has no width then.
    """
    corners = placement.to_ratios(candidates.boxes.reshape(-1, 2, 2)).astype(float)
    corners[:, 1] = np.maximum(corners[:, 0], corners[:, 1])
    return [
        BoundingBox.from_edges(left, top, right, bottom, width=1, height=1)
        for (left, top), (right, bottom) in corners
    ]


def inside(pixels: Pixels, box: BoundingBox) -> Pixels:
    """Return the pixels in a box, at least one."""
    height, width = pixels.shape[:2]
    left, top = min(int(box.left * width), width - 1), min(int(box.top * height), height - 1)
    right, bottom = round(box.right * width), round(box.bottom * height)
    return pixels[max(top, 0) : max(bottom, top + 1), max(left, 0) : max(right, left + 1)]
