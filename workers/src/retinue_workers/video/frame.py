"""One frame of a video."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retinue_sdk import Pixels


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One frame.

    Attributes:
        time_ms: Its time after the first frame, in milliseconds.
        pixels: Its pixels as displayed, perhaps scaled down.
        is_after_cut: Whether another scene began since the frame that was sampled before.
    """

    time_ms: int
    pixels: "Pixels"
    is_after_cut: bool = False
