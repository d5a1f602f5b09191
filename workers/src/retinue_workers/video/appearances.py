"""Join what was found in single frames into appearances, each with a start and an end."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from retinue_sdk import BoundingBox, Detection
from retinue_sdk.json_value import Json

MIN_OVERLAP = 0.1
"""Minimum intersection over union of a box with the one before. Objects move between frames."""

MAX_MISSED = 1
"""How many frames in a row may miss an object without ending its appearance."""

PATH_POINTS = 16
"""Maximum number of points of a path. With twice as many, every other one is removed."""

_DIGITS = 4
"""Decimal places of a path's numbers: less than a pixel."""


@dataclass(slots=True)
class _Appearance:
    """An appearance so far.

    Attributes:
        best: The detection with the highest confidence, the first of several.
        best_ms: Its time.
        start_ms: The time of the first detection.
        end_ms: The time of the last detection.
        box: The box of the last detection.
        track: The number of the object.
        frames: In how many frames it was found.
        last_frame: The number of the last of them.
        path: The thinned positions.
        stride: Only each so many-th position is kept.
    """

    best: Detection
    best_ms: int
    start_ms: int
    end_ms: int
    box: BoundingBox | None
    track: int | None
    frames: int
    last_frame: int
    path: list[tuple[int, BoundingBox]] = field(default_factory=list)
    stride: int = 1

    def add(self, time_ms: int, frame: int, found: Detection) -> None:
        if found.confidence > self.best.confidence:
            self.best, self.best_ms = found, time_ms
        self.end_ms, self.box, self.last_frame = time_ms, found.box, frame
        if found.box is not None and self.frames % self.stride == 0:
            self.path.append((time_ms, found.box))
            if len(self.path) >= 2 * PATH_POINTS:
                del self.path[1::2]
                self.stride *= 2
        self.frames += 1

    def closed(self) -> Detection:
        """Return the appearance as a detection with a time."""
        attributes: dict[str, Json] = dict(self.best.attributes)
        attributes |= {"best_ms": self.best_ms, "frames": self.frames}
        if self.box is not None:
            path = self.path[:: -(-len(self.path) // PATH_POINTS)]
            if path[-1][0] != self.end_ms:
                path.append((self.end_ms, self.box))
            attributes["path"] = [
                [
                    time_ms,
                    *(round(edge, _DIGITS) for edge in (box.left, box.top, box.width, box.height)),
                ]
                for time_ms, box in path
            ]
        return replace(
            self.best,
            attributes=attributes,
            start_ms=self.start_ms,
            end_ms=self.end_ms,
            track=self.track,
        )


class Appearances:
    """Joins the detections of a video's frames. Deterministic, and no detection is lost.

    A detection continues an appearance of the same kind and label: of the same track if it has one,
    otherwise of the box that overlaps most, and without a box of the one without a box. An
    appearance ends if two frames in a row miss it. A moment has the same start and end.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], list[_Appearance]] = {}
        self._closed: list[_Appearance] = []
        self._frames = 0

    def __len__(self) -> int:
        """Return the number of appearances so far."""
        return len(self._closed) + sum(map(len, self._open.values()))

    def add(
        self,
        time_ms: int,
        detections: Sequence[Detection],
        tracks: Sequence[int | None] | None = None,
    ) -> None:
        """Add the detections of the next frame, with the number of each detection's object.

        Args:
            time_ms: The frame's time, at least that of the frame before.
            detections: The detections.
            tracks: The tracks of the detections; ``None`` without tracking.
        """
        self._close_missed()
        by_label: dict[tuple[str, str], list[tuple[Detection, int | None]]] = {}
        for found, track in zip(detections, tracks or [None] * len(detections), strict=True):
            by_label.setdefault((found.kind, found.label), []).append((found, track))
        for label, of_label in by_label.items():
            appearances = self._open.setdefault(label, [])
            continued = _matches(appearances, of_label)
            for index, (found, track) in enumerate(of_label):
                appearance = continued.get(index)
                if appearance is None:
                    appearance = _Appearance(
                        found, time_ms, time_ms, time_ms, found.box, track, 0, self._frames
                    )
                    appearances.append(appearance)
                appearance.add(time_ms, self._frames, found)
        self._frames += 1

    def finish(self) -> tuple[Detection, ...]:
        """Close all appearances, and return them by start, then by end, kind and label."""
        for appearances in self._open.values():
            self._closed += appearances
        self._open.clear()
        order = sorted(
            self._closed,
            key=lambda one: (one.start_ms, one.end_ms, one.best.kind, one.best.label),
        )
        return tuple(one.closed() for one in order)

    def _close_missed(self) -> None:
        for label, appearances in list(self._open.items()):
            still = [one for one in appearances if self._frames - one.last_frame <= MAX_MISSED + 1]
            if len(still) < len(appearances):
                kept = {id(one) for one in still}
                self._closed += [one for one in appearances if id(one) not in kept]
                self._open[label] = still
            if not still:
                del self._open[label]


def _matches(
    appearances: Sequence[_Appearance], detections: Sequence[tuple[Detection, int | None]]
) -> dict[int, _Appearance]:
    """Return which appearance each detection continues, by the detection's index.

    The pair with the largest overlap comes first. The order decides between equal ones.
    """
    pairs = sorted(
        (-overlap, place, index)
        for place, appearance in enumerate(appearances)
        for index, (found, track) in enumerate(detections)
        if (overlap := _overlap(appearance, found, track)) >= MIN_OVERLAP
    )
    matches: dict[int, _Appearance] = {}
    taken: set[int] = set()
    for _, place, index in pairs:
        if place not in taken and index not in matches:
            taken.add(place)
            matches[index] = appearances[place]
    return matches


def _overlap(appearance: _Appearance, found: Detection, track: int | None) -> float:
    """Return how well a detection continues an appearance: 0 to 1, or 2 for the same track."""
    if track is not None or appearance.track is not None:
        return 2.0 if track == appearance.track else 0.0
    if appearance.box is None or found.box is None:
        return float(appearance.box is found.box)
    return appearance.box.iou(found.box)
