"""Join detections at several times in a video to one appearance."""

from collections.abc import Mapping
from dataclasses import replace

from retinue_sdk.box import BoundingBox
from retinue_sdk.detection import Detection
from retinue_sdk.json_value import Json

PATH_POINTS = 16
"""Maximum number of points of a path, and its last point."""

_DIGITS = 4
"""Decimal places of a path's numbers: less than a pixel."""


class Appearance:
    """An appearance in a video, to which the detections of single frames are added.

    Its label, confidence, box and attributes are those of the detection with the highest
    confidence, the first of several. Memory doesn't grow with the number of detections.

    Args:
        time_ms: The time of the first detection in milliseconds from the first frame.
        found: The first detection.
        track: The number of the object, if it is known.

    Attributes:
        start_ms: The time of the earliest detection.
        end_ms: The time of the latest detection.
        box: The box of the detection that was added last.
        track: The number of the object.
        frames: The number of detections.
    """

    __slots__ = (
        "_best",
        "_best_ms",
        "_last",
        "_path",
        "_stride",
        "box",
        "end_ms",
        "frames",
        "start_ms",
        "track",
    )

    def __init__(self, time_ms: int, found: Detection, track: int | None = None) -> None:
        self.start_ms = self.end_ms = self._best_ms = time_ms
        self.box: BoundingBox | None = None
        self.track = track
        self.frames = 0
        self._best = found
        self._path: list[tuple[int, BoundingBox]] = []
        self._last: tuple[int, BoundingBox] | None = None
        self._stride = 1
        self.add(time_ms, found)

    def add(self, time_ms: int, found: Detection) -> None:
        """Add the detection of another frame."""
        if found.confidence > self._best.confidence:
            self._best, self._best_ms = found, time_ms
        self.start_ms, self.end_ms = min(self.start_ms, time_ms), max(self.end_ms, time_ms)
        self.box = found.box
        if found.box is not None:
            self._last = (time_ms, found.box)
            if self.frames % self._stride == 0:
                self._path.append(self._last)
                if len(self._path) >= 2 * PATH_POINTS:
                    del self._path[1::2]
                    self._stride *= 2
        self.frames += 1

    def detection(self) -> Detection:
        """Return the appearance.

        Its attributes have in addition ``frames``, ``best_ms`` (the time of the best detection) and
        ``path``: up to 17 positions by their time, each ``[milliseconds, left, top, width,
        height]``.
        """
        found: Mapping[str, Json] = self._best.attributes
        attributes: dict[str, Json] = {**found, "best_ms": self._best_ms, "frames": self.frames}
        if self._last is not None:
            path = self._path[:: -(-len(self._path) // PATH_POINTS) or 1]
            if self._last not in path[-1:]:
                path.append(self._last)
            path.sort(key=lambda point: point[0])
            attributes["path"] = [
                [at, *(round(edge, _DIGITS) for edge in (box.left, box.top, box.width, box.height))]
                for at, box in path
            ]
        return replace(
            self._best,
            attributes=attributes,
            start_ms=self.start_ms,
            end_ms=self.end_ms,
            track=self.track,
        )
