"""What an export tells while it works and when it is done."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

Advance: TypeAlias = Callable[[int], None]
"""Told how many more rows have been written."""


@dataclass(slots=True)
class Written:
    """What went into the file, and what had to stay out.

    Attributes:
        detections: How many detections were written.
        images: How many images, where the format has images; none where it has rows.
        empty: How many of the images were looked at and have no detection in the file.
        left_out: How many things were left out, by what they are and why.
    """

    detections: int = 0
    images: int | None = None
    empty: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
