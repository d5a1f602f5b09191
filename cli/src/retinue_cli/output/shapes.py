"""Draw the masks and body points of detections on their photograph."""

from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageDraw
from retinue_sdk.masks import decode_mask

from retinue_cli.data.body_points import LIMBS, visible_points

Colour = tuple[int, int, int]

TINT = 110
"""How much a mask hides the photograph, of 255."""


def draw_shapes(
    picture: Image.Image, attributes: Mapping[str, Any], colour: Colour, line_px: int
) -> None:
    """Tint the pixels of ``mask`` and connect the ``keypoints``, if the attributes have them.

    Args:
        picture: The photograph.
        attributes: A detection's attributes, of any detector: other values are ignored.
        colour: The detection's colour.
        line_px: Width of lines.
    """
    _tint(picture, attributes.get("mask"), colour)
    width, height = picture.size
    points = {
        name: (x * width, y * height)
        for name, (x, y) in visible_points(attributes.get("keypoints")).items()
    }
    pen = ImageDraw.Draw(picture)
    for first, second in LIMBS:
        if first in points and second in points:
            pen.line((*points[first], *points[second]), colour, line_px)
    for x, y in points.values():
        ends = (x - line_px, y - line_px, x + line_px, y + line_px)
        pen.ellipse(ends, colour, (0, 0, 0))


def _tint(picture: Image.Image, stored: Any, colour: Colour) -> None:
    if not isinstance(stored, Mapping):
        return
    try:
        mask = decode_mask(stored)
    except ValueError:
        return
    if not mask.size:
        return
    shade = Image.fromarray(mask).convert("L").resize(picture.size, Image.Resampling.BILINEAR)
    picture.paste(colour, (0, 0), shade.point([TINT * level // 255 for level in range(256)]))
