"""Find lines of text: PP-OCRv4's detector (https://github.com/PaddlePaddle/PaddleOCR, Apache-2.0).

For each pixel the network returns the likelihood that it belongs to the core of a line. The core is
grown to the whole line (https://arxiv.org/abs/1911.08947). Constants are RapidOCR's
(``rapidocr_onnxruntime/config.yaml``).
"""

import numpy as np
from retinue_sdk import Image, Pixels

from retinue_onnx.candidates import Floats
from retinue_onnx.letterbox import Placement, letterboxed
from retinue_onnx.preprocessing import Preprocessing
from retinue_onnx.regions import Mask, regions, smallest_rectangle
from retinue_onnx.session import Batch

PREPROCESSING = Preprocessing.of("letterbox", "-1-1", channels="bgr")

MULTIPLE_PX = 32
"""The network halves its input five times."""

MIN_SIDE_PX = 64
"""Smallest side of the canvas. The network finds nothing on narrow ones."""

MAX_GROWTH = 2.0
"""Small images are enlarged at most so much."""

PIXEL_THRESHOLD = 0.3
LINE_THRESHOLD = 0.5
"""Minimum mean likelihood of a core's pixels."""

MIN_CORE_PX = 3
MIN_LINE_PX = 5
UNCLIP_RATIO = 1.6
"""A core is grown by its area × this ÷ its perimeter."""

MAX_LINES = 1_000
"""Maximum number of lines in an image."""


def place(pixels: Pixels, max_side_px: int) -> tuple[Pixels, Placement]:
    """Letterbox on black, onto the smallest canvas that contains the resized image."""
    scale = min(MAX_GROWTH, max_side_px / max(pixels.shape[:2]))
    height, width = (
        max(-(-max(round(side * scale), 1) // MULTIPLE_PX) * MULTIPLE_PX, MIN_SIDE_PX)
        for side in pixels.shape[:2]
    )
    return letterboxed(Image.from_pixels(pixels), height=height, width=width)


def normalised(canvas: Pixels) -> Batch:
    """Return one image, blue first, -1 to 1."""
    return PREPROCESSING.normalise(canvas[None])


def lines(likelihoods: Floats, placement: Placement) -> list[Floats]:
    """Return the corners of each line, from top to bottom.

    Args:
        likelihoods: Shape (height, width): of each pixel of the canvas, 0 to 1.
        placement: The image's position on the canvas.

    Returns:
        For each line, shape (4, 2): its corners clockwise from the top left, x and y as ratios of
        the image.
    """
    found = []
    for region in regions(_dilated(likelihoods > PIXEL_THRESHOLD))[:MAX_LINES]:
        # Of the region, not of the rectangle as in RapidOCR: a curved line fills half of it.
        if region.sum_of(likelihoods) < LINE_THRESHOLD * region.area:
            continue
        core = smallest_rectangle(region.outline())
        if min(core.width, core.height) < MIN_CORE_PX:
            continue
        perimeter = 2 * (core.width + core.height)
        line = core.grown(core.width * core.height * UNCLIP_RATIO / perimeter)
        if min(line.width, line.height) >= MIN_LINE_PX:
            # A pixel's centre is half a pixel from its left and upper edge.
            found.append(placement.to_ratios(line.corners() + np.float32(0.5)))
    return found


def _dilated(mask: Mask) -> Mask:
    """Return the mask with the pixels to the right of it and below it."""
    padded = np.pad(mask, ((1, 0), (1, 0)))
    return padded[1:, 1:] | padded[:-1, 1:] | padded[1:, :-1] | padded[:-1, :-1]
