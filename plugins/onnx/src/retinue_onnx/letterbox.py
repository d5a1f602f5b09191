"""Resize an image for a network, and convert positions back."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from retinue_sdk import BoundingBox, Image, Pixels

Points = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Placement:
    """The image's position on the network's canvas, in pixels of the canvas.

    Attributes:
        left: Left edge of the image.
        top: Top edge of the image.
        width: Width of the image on the canvas, at least 1.
        height: Height of the image on the canvas, at least 1.
    """

    left: int
    top: int
    width: int
    height: int

    def to_ratios(self, points: Points) -> Points:
        """Return points on the canvas as ratios of the image.

        Args:
            points: Any shape whose last axis is x, y: (…, 2), pixels of the canvas.

        Returns:
            The same shape; 0 to 1 inside the image, beyond that outside it.
        """
        return ((points - (self.left, self.top)) / (self.width, self.height)).astype(np.float32)

    def to_canvas(self, ratios: Points) -> Points:
        """Return ratios of the image as points on the canvas."""
        return (ratios * (self.width, self.height) + (self.left, self.top)).astype(np.float32)


def letterboxed(
    image: Image, *, height: int, width: int, fill: int = 0, centred: bool = True
) -> tuple[Pixels, Placement]:
    """Decode an image as small as possible, and scale it to fit the canvas.

    Args:
        image: The image.
        height: Height of the canvas, in pixels.
        width: Width of the canvas, in pixels.
        fill: Grey level around the image, 0 to 255.
        centred: Whether to place the image in the middle, not at the top left.

    Returns:
        The canvas, shape (height, width, 3), uint8, and the image's position on it. An image of
        extreme proportions keeps at least one pixel in each direction.
    """
    inner_width, inner_height = _inside(image.measure(), height=height, width=width)
    resized = image.resized_pixels(inner_width, inner_height)
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    if not centred:
        left = top = 0
    placement = Placement(left, top, inner_width, inner_height)
    if (inner_width, inner_height) == (width, height):
        return resized, placement
    canvas = np.full((height, width, 3), fill, np.uint8)
    canvas[top : top + inner_height, left : left + inner_width] = resized
    return canvas, placement


def stretched(image: Image, *, height: int, width: int) -> tuple[Pixels, Placement]:
    """Decode an image as small as possible, and scale it to fill the canvas.

    Its proportions are lost.

    Args:
        image: The image.
        height: Height of the canvas, in pixels.
        width: Width of the canvas, in pixels.

    Returns:
        The canvas, shape (height, width, 3), uint8, and the image's position: all of it.
    """
    return image.resized_pixels(width, height), Placement(0, 0, width, height)


def cropped(image: Image, *, height: int, width: int, keep: float = 1) -> tuple[Pixels, Placement]:
    """Decode an image as small as possible, and cut its centre out.

    Args:
        image: The image.
        height: Height of the canvas, in pixels.
        width: Width of the canvas, in pixels.
        keep: The part of the shorter side that remains, above 0, up to 1, if the canvas is square.

    Returns:
        The canvas, shape (height, width, 3), uint8, and the position of the whole image, which
        extends beyond it.
    """
    size_px = image.measure()
    scale = max(width / size_px[0], height / size_px[1]) / keep
    inner = max(round(size_px[0] * scale), width), max(round(size_px[1] * scale), height)
    left, top = (inner[0] - width) // 2, (inner[1] - height) // 2
    part = BoundingBox.from_edges(
        left, top, left + width, top + height, width=inner[0], height=inner[1]
    )
    canvas = image.resized_pixels(width, height, part=part)
    return canvas, Placement(-left, -top, *inner)


def _inside(size_px: tuple[int, int], *, height: int, width: int) -> tuple[int, int]:
    """Return width and height of an image that is scaled to fit the canvas."""
    scale = min(width / size_px[0], height / size_px[1])
    return (
        min(max(round(size_px[0] * scale), 1), width),
        min(max(round(size_px[1] * scale), 1), height),
    )
