"""Bounding boxes."""

import math
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """An axis-aligned rectangle, in ratios of the image as displayed (EXIF orientation applied).

    The origin is the top left corner; x grows to the right, y downwards. A detector may report a
    box that is partly outside the image (Amazon Rekognition does), so no value is clipped.
    ``clipped()`` returns the visible part.

    Attributes:
        left: Left edge as a ratio of the image's width; 0 is the left border, 1 the right one.
        top: Top edge as a ratio of the image's height.
        width: Width as a ratio of the image's width, 0 or more.
        height: Height as a ratio of the image's height, 0 or more.

    Raises:
        ValueError: A value is not finite, or the width or height is negative.
    """

    left: float
    top: float
    width: float
    height: float

    def __post_init__(self) -> None:
        """Store plain Python floats. Raise ``ValueError`` unless they describe a rectangle."""
        left, top, width, height = self.left, self.top, self.width, self.height
        # The sum is finite only if every value is. If the sum overflows, the slow check passes.
        if not (
            type(left) is type(top) is type(width) is type(height) is float
            and math.isfinite(left + top + width + height)
        ):
            for name in ("left", "top", "width", "height"):
                value = float(getattr(self, name))
                if not math.isfinite(value):
                    raise ValueError(f"a bounding box's {name} must be finite, not {value!r}")
                object.__setattr__(self, name, value)
        if self.width < 0 or self.height < 0:
            raise ValueError(
                f"a bounding box cannot be {self.width} wide and {self.height} high: "
                "both must be 0 or more"
            )

    @classmethod
    def from_edges(
        cls, left: float, top: float, right: float, bottom: float, *, width: float, height: float
    ) -> Self:
        """Return a box from edges in the units of an image ``width`` × ``height``, usually pixels.

        Raises:
            ValueError: The image has no area, or an edge is not finite, or the edges are swapped.
        """
        if not (width > 0 and height > 0):
            raise ValueError(f"an image cannot be {width} wide and {height} high")
        return cls(left / width, top / height, (right - left) / width, (bottom - top) / height)

    @property
    def right(self) -> float:
        """Return the right edge as a ratio of the image's width."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Return the bottom edge as a ratio of the image's height."""
        return self.top + self.height

    @property
    def area(self) -> float:
        """Return the area as a ratio of the image's area."""
        return self.width * self.height

    def clipped(self) -> Self:
        """Return the part inside the image.

        If there is none, return a box without area on its border.
        """
        left, top = min(max(self.left, 0.0), 1.0), min(max(self.top, 0.0), 1.0)
        right, bottom = min(max(self.right, 0.0), 1.0), min(max(self.bottom, 0.0), 1.0)
        return type(self)(left, top, right - left, bottom - top)

    def iou(self, other: "BoundingBox") -> float:
        """Return the intersection over union, 0 to 1. It is 0 if both boxes have no area."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        shared = max(width, 0.0) * max(height, 0.0)
        union = self.area + other.area - shared
        return min(shared / union, 1.0) if union > 0 else 0.0
