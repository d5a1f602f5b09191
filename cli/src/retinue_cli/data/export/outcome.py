"""The progress and the result of an export."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

Advance: TypeAlias = Callable[[int], None]
"""Called with the number of further rows written."""


@dataclass(slots=True)
class Written:
    """The counts of written and omitted items.

    Attributes:
        detections: Number of written detections.
        images: Number of images, if the format has images; ``None`` if it has rows.
        empty: Number of processed images without a detection in the file.
        left_out: Number of omitted items, by kind and reason.
        warnings: Reasons why the file may not be what was wanted.
    """

    detections: int = 0
    images: int | None = None
    empty: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)
