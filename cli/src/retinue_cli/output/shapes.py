"""Draw the masks and body points of detections on their photograph."""

from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageDraw
from retinue_sdk.masks import decode_mask

Colour = tuple[int, int, int]

TINT = 110
"""How much a mask hides the photograph, of 255."""

MIN_CONFIDENCE = 0.15
"""Body points below this aren't drawn: they are hidden or outside the image."""

LIMBS = (
    ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"),
    ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"),
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
    ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
    ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
    ("nose", "left_eye"), ("left_eye", "left_ear"), ("nose", "right_eye"),
    ("right_eye", "right_ear"),
)  # fmt: skip


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


def visible_points(stored: Any) -> dict[str, tuple[float, float]]:
    """Return the visible body points by name, as ratios of the image; other values are ignored."""
    found = {}
    for point in stored if isinstance(stored, list) else ():
        match point:
            case {
                "type": str(name),
                "x": int() | float() as x,
                "y": int() | float() as y,
                "confidence": int() | float() as confidence,
            } if confidence >= MIN_CONFIDENCE and abs(x) <= 2 and abs(y) <= 2:
                found[name] = (float(x), float(y))
    return found
