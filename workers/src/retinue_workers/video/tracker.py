"""Follow objects from frame to frame, with norfair. No other module imports it."""

from collections.abc import Sequence

import numpy as np
from norfair import Detection as Point
from norfair import Tracker
from norfair.filter import OptimizedKalmanFilterFactory
from retinue_sdk import Detection

MAX_DISTANCE = 0.9
"""1 − IoU above which a box isn't the predicted one: between two frames, objects move far."""

FORGOTTEN_AFTER = 3
"""How many frames in a row may miss an object before it is forgotten."""


class ObjectTracker:
    """Numbers the objects of one video, from 0 in the order of their appearance."""

    def __init__(self) -> None:
        self._first = self._next = 0
        self.cut()

    def cut(self) -> None:
        """Forget all objects, because the next frame is of another scene."""
        self._first = self._next
        self._tracker = Tracker(
            "iou",
            MAX_DISTANCE,
            hit_counter_max=FORGOTTEN_AFTER,
            initialization_delay=0,
            filter_factory=OptimizedKalmanFilterFactory(),
            past_detections_length=0,
        )

    def follow(self, detections: Sequence[Detection]) -> list[int | None]:
        """Return the number of each detection's object. Call it for each frame, in order.

        Detections without a box, or with one without area, have no number.
        """
        points = [
            Point(
                np.array([[box.left, box.top], [box.right, box.bottom]]),
                data=index,
                label=f"{found.kind} {found.label}",
            )
            for index, found in enumerate(detections)
            if (box := found.box) is not None and box.area > 0
        ]
        numbers: list[int | None] = [None] * len(detections)
        for tracked in self._tracker.update(points or None):
            # An object that this frame misses keeps the detection of an earlier one.
            if tracked.last_detection.age == tracked.age and tracked.id is not None:
                number = self._first + tracked.id - 1
                numbers[tracked.last_detection.data] = number
                self._next = max(self._next, number + 1)
        return numbers
