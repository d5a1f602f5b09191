"""Find where a video cuts to another scene, by the measure of FFmpeg's filter scdet."""

import re
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

THRESHOLD = 10.0
"""Score from which a frame begins another scene, 0 to 100. The default of scdet."""

GRID = (64, 36)
"""How many points of a frame are compared, across and down; in each less than twice as many."""

_LUMA_FIRST = re.compile(r"(yuva?j?4\d\dp|gray|nv\d\d)(\d\dle)?")
"""Formats whose first plane is luma alone. Others are converted."""

_BYTE = 8


class Cuts:
    """Compares each decoded frame with the one before.

    The score is the mean absolute difference of luma in percent, or how far that differs from the
    difference before if this is less: movement changes each frame, a cut only one.
    """

    def __init__(self) -> None:
        self._last: Any = None
        self._last_difference = 0.0

    def is_cut(self, frame: VideoFrame) -> bool:
        """Return whether a frame begins another scene. Call it for each frame, in order."""
        luma, last = _luma(frame), self._last
        self._last = luma
        if last is None or last.shape != luma.shape:
            return last is not None
        difference = 100 * float(np.abs(luma - last).mean())
        score = min(difference, abs(difference - self._last_difference))
        self._last_difference = difference
        return score >= THRESHOLD


def _luma(frame: VideoFrame) -> Any:
    """Return the brightness of points of a frame, 0 to 1."""
    if _LUMA_FIRST.fullmatch(frame.format.name) is None or frame.planes[0].line_size <= 0:
        frame = frame.reformat(format="gray", threads=1)
    plane, bits = frame.planes[0], frame.format.components[0].bits
    values: Any = np.frombuffer(memoryview(plane), np.uint8 if bits == _BYTE else np.uint16)
    lines = values.reshape(plane.height, -1)[:, : plane.width]
    down, across = max(1, plane.height // GRID[1]), max(1, plane.width // GRID[0])
    return lines[::down, ::across].astype(np.float32) / (2**bits - 1)
