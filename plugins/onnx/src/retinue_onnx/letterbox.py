"""Resize an image for a network, and convert positions back."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from retinue_sdk import Image, Pixels

Points = npt.NDArray[np.float32]

REDUCING_GAP = 2.0
"""Pillow may first shrink by whole factors if at least a factor of 2 remains. It is several times
faster for camera photos, and almost equal (Pillow's handbook, ``Image.resize``).
"""


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
    """Decode an image as small as possible, and scale it to fit the canvas; see ``letterbox``."""
    size_px = image.measure()
    pixels = image.scaled_pixels(*_inside(size_px, height=height, width=width))
    return letterbox(
        pixels, height=height, width=width, fill=fill, centred=centred, size_px=size_px
    )


def letterbox(
    pixels: Pixels,
    *,
    height: int,
    width: int,
    fill: int = 0,
    centred: bool = True,
    size_px: tuple[int, int] | None = None,
) -> tuple[Pixels, Placement]:
    """Scale an image to fit the canvas.

    Args:
        pixels: Shape (h, w, 3), uint8.
        height: Height of the canvas, in pixels.
        width: Width of the canvas, in pixels.
        fill: Grey level around the image, 0 to 255.
        centred: Whether to place the image in the middle, not at the top left.
        size_px: Width and height of the image if the pixels are fewer; they decide its proportions.

    Returns:
        The canvas, shape (height, width, 3), uint8, and the image's position on it. An image of
        extreme proportions keeps at least one pixel in each direction.
    """
    size_px = size_px or (pixels.shape[1], pixels.shape[0])
    inner_width, inner_height = _inside(size_px, height=height, width=width)
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    if not centred:
        left = top = 0
    canvas = np.full((height, width, 3), fill, np.uint8)
    canvas[top : top + inner_height, left : left + inner_width] = _resized(
        pixels, height=inner_height, width=inner_width
    )
    return canvas, Placement(left, top, inner_width, inner_height)


def stretched(image: Image, *, height: int, width: int) -> tuple[Pixels, Placement]:
    """Decode an image as small as possible, and scale it to fill the canvas; see ``stretch``."""
    return stretch(image.scaled_pixels(width, height), height=height, width=width)


def stretch(pixels: Pixels, *, height: int, width: int) -> tuple[Pixels, Placement]:
    """Scale an image to fill the canvas, without keeping its proportions.

    Args:
        pixels: Shape (h, w, 3), uint8.
        height: Height of the canvas, in pixels.
        width: Width of the canvas, in pixels.

    Returns:
        The canvas, shape (height, width, 3), uint8, and the image's position: all of it.
    """
    return _resized(pixels, height=height, width=width), Placement(0, 0, width, height)


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
    pixels = image.scaled_pixels(*inner)
    across, down = pixels.shape[1] / inner[0], pixels.shape[0] / inner[1]
    canvas = _resized(
        pixels,
        height=height,
        width=width,
        box=(left * across, top * down, (left + width) * across, (top + height) * down),
    )
    return canvas, Placement(-left, -top, *inner)


def _inside(size_px: tuple[int, int], *, height: int, width: int) -> tuple[int, int]:
    """Return width and height of an image that is scaled to fit the canvas."""
    scale = min(width / size_px[0], height / size_px[1])
    return (
        min(max(round(size_px[0] * scale), 1), width),
        min(max(round(size_px[1] * scale), 1), height),
    )


def _resized(
    pixels: Pixels,
    *,
    height: int,
    width: int,
    box: tuple[float, float, float, float] | None = None,
) -> Pixels:
    """Resize bilinearly, with a support that grows when shrinking to avoid aliasing.

    Args:
        pixels: Shape (h, w, 3), uint8.
        height: New height in pixels.
        width: New width in pixels.
        box: Left, top, right and bottom of the part to resize, in pixels; ``None`` for all.
    """
    image = PillowImage.fromarray(pixels)
    resized = image.resize(
        (width, height), PillowImage.Resampling.BILINEAR, box, reducing_gap=REDUCING_GAP
    )
    return np.asarray(resized)
