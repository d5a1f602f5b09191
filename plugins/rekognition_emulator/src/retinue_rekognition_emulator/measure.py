"""Measure light, colours and the places of detail in a picture.

The scales are ours, because Amazon doesn't publish its methods.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image as PillowImage

GRID = 48
"""Number of cells per side in which detail is searched."""

COLOURS = 4
"""Number of colours to which a picture is reduced."""


@dataclass(frozen=True)
class Measured:
    """The measurements of a picture.

    Attributes:
        brightness: Mean luminance, 0 to 100.
        contrast: Spread of the luminance, 0 to 100: 100 is half black, half white.
        sharpness: Mean difference of neighbouring cells, 0 to 100.
        colours: (red, green, blue, percentage of the pixels), the most frequent first.
        places: Boxes with the most detail, the first the most; they do not overlap.
    """

    brightness: float
    contrast: float
    sharpness: float
    colours: list[tuple[int, int, int, float]]
    places: list[dict[str, float]]


def measure(picture: PillowImage.Image) -> Measured:
    """Measure an RGB picture."""
    small = picture.resize((GRID, GRID), PillowImage.Resampling.BOX)
    grey = np.asarray(small.convert("L"), dtype=float)
    down, across = np.abs(np.diff(grey, axis=0)), np.abs(np.diff(grey, axis=1))
    detail = np.zeros_like(grey)
    detail[1:] += down
    detail[:, 1:] += across
    return Measured(
        brightness=_percent(grey.mean() / 255),
        contrast=_percent(grey.std() / 127.5),
        sharpness=_percent((down.mean() + across.mean()) / 2 / 32),
        colours=_colours(small),
        places=_places(detail),
    )


def _percent(ratio: Any) -> float:
    return round(min(max(float(ratio), 0.0), 1.0) * 100, 3)


def _colours(small: PillowImage.Image) -> list[tuple[int, int, int, float]]:
    reduced = small.quantize(COLOURS)
    palette = reduced.getpalette() or []
    counted = sorted(reduced.getcolors() or [], key=lambda pair: (-pair[0], str(pair[1])))
    return [
        (*_rgb(palette, int(str(index))), round(100 * count / GRID**2, 3))
        for count, index in counted
    ]


def _rgb(palette: list[int], index: int) -> tuple[int, int, int]:
    red, green, blue = palette[3 * index : 3 * index + 3]
    return red, green, blue


def _places(detail: Any) -> list[dict[str, float]]:
    """Return four square windows with the most detail, without overlaps."""
    side = GRID // 4
    left = detail + 1e-6  # a picture of one colour has places, too
    places = []
    for _ in range(4):
        sums = np.pad(left.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        windows = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side]
        windows = windows + sums[:-side, :-side]
        top, across = np.unravel_index(int(windows.argmax()), windows.shape)
        left[max(top - side, 0) : top + side, max(across - side, 0) : across + side] = 0
        places.append(
            {
                "Left": float(across) / GRID,
                "Top": float(top) / GRID,
                "Width": side / GRID,
                "Height": side / GRID,
            }
        )
    return places
