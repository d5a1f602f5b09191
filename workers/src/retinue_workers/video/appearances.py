"""Join detections in single frames into appearances, each with a start and an end."""

from collections.abc import Sequence

from retinue_sdk import Appearance, Detection

MIN_OVERLAP = 0.1
"""Minimum intersection over union of a box with the one before. Objects move between frames."""

MAX_MISSED = 1
"""How many frames in a row may miss an object without ending its appearance."""


class _OpenAppearance(Appearance):
    """An appearance that can continue.

    Attributes:
        last_frame: The number of the last frame in which it was found.
    """

    __slots__ = ("last_frame",)

    def __init__(self, time_ms: int, frame: int, found: Detection, track: int | None) -> None:
        super().__init__(time_ms, found, track)
        self.last_frame = frame


class Appearances:
    """Joins the detections of a video's frames. Deterministic, and no detection is lost.

    A detection continues an appearance of the same kind and label: of the same track if it has one,
    otherwise of the box that overlaps most, and without a box of the one without a box. An
    appearance ends if two frames in a row miss it, and one with a box at a cut to another scene.
    A moment has the same start and end.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], list[_OpenAppearance]] = {}
        self._closed: list[_OpenAppearance] = []
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
                    appearances.append(_OpenAppearance(time_ms, self._frames, found, track))
                else:
                    appearance.add(time_ms, found)
                    appearance.last_frame = self._frames
        self._frames += 1

    def cut(self) -> None:
        """End the appearances that have a box, because the next frame is of another scene."""
        for label, appearances in list(self._open.items()):
            self._close(label, [one for one in appearances if one.box is None])

    def finish(self) -> tuple[Detection, ...]:
        """Close all appearances, and return them by start, then by end, kind and label."""
        for appearances in self._open.values():
            self._closed += appearances
        self._open.clear()
        detections = [appearance.detection() for appearance in self._closed]
        return tuple(sorted(detections, key=_order))

    def _close_missed(self) -> None:
        for label, appearances in list(self._open.items()):
            still = [one for one in appearances if self._frames - one.last_frame <= MAX_MISSED + 1]
            self._close(label, still)

    def _close(self, label: tuple[str, str], still: list[_OpenAppearance]) -> None:
        """Close the appearances of a label, except those that are still open."""
        kept = {id(one) for one in still}
        self._closed += [one for one in self._open[label] if id(one) not in kept]
        if still:
            self._open[label] = still
        else:
            del self._open[label]


def _order(found: Detection) -> tuple[int, int, str, str]:
    return (found.start_ms or 0, found.end_ms or 0, found.kind, found.label)


def _matches(
    appearances: Sequence[_OpenAppearance], detections: Sequence[tuple[Detection, int | None]]
) -> dict[int, _OpenAppearance]:
    """Return which appearance each detection continues, by the detection's index.

    The pair with the largest overlap comes first. The order decides between equal ones.
    """
    pairs = sorted(
        (-overlap, place, index)
        for place, appearance in enumerate(appearances)
        for index, (found, track) in enumerate(detections)
        if (overlap := _overlap(appearance, found, track)) >= MIN_OVERLAP
    )
    matches: dict[int, _OpenAppearance] = {}
    taken: set[int] = set()
    for _, place, index in pairs:
        if place not in taken and index not in matches:
            taken.add(place)
            matches[index] = appearances[place]
    return matches


def _overlap(appearance: _OpenAppearance, found: Detection, track: int | None) -> float:
    """Return the overlap of a detection and an appearance: 0 to 1, or 2 for the same track."""
    if track is not None or appearance.track is not None:
        return 2.0 if track == appearance.track else 0.0
    if appearance.box is None or found.box is None:
        return float(appearance.box is found.box)
    return appearance.box.iou(found.box)
