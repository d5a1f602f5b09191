"""Non-maximum suppression: keep the best of overlapping boxes."""

import numpy as np

from retinue_onnx.candidates import Candidates, Floats

MAX_CANDIDATES = 3_000
"""Maximum number of candidates that are compared. Upstream NanoDet uses 1,000 per stride
(``nms_pre`` in ``gfl_head.py``).
"""

MAX_IOU_OF_CLASSES = 0.8
"""Boxes of different classes that overlap more count as one object of the best class. A cat's box
is also a dog's (0.99), a phone's also a remote's (1.0) and a book's (0.94). On 81 photographs, 0.8
removes more wrong detections than 0.9 and no right ones (tests/benchmarks/bench_objects.py).
"""


def suppressed(candidates: Candidates, *, max_iou: float) -> Candidates:
    """Return the best candidate, then the best that doesn't overlap it, and so on.

    Args:
        candidates: The candidates in any order.
        max_iou: Two boxes of one class remain only if their intersection over union is at most
            this, 0 to 1. Boxes of different classes remain up to ``MAX_IOU_OF_CLASSES``.

    Returns:
        The remaining candidates, best first.
    """
    waiting = candidates.best_first(MAX_CANDIDATES)
    left, top, right, bottom = np.ascontiguousarray(waiting.boxes.T)
    areas = (right - left) * (bottom - top)
    classes = waiting.classes
    order = np.arange(len(waiting))
    kept: list[int] = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        if not len(order):
            break
        width = np.minimum(right[best], right[order]) - np.maximum(left[best], left[order])
        height = np.minimum(bottom[best], bottom[order]) - np.maximum(top[best], top[order])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        union = areas[best] + areas[order] - shared
        # Compared as products, because boxes without an area have no ratio: they share nothing.
        limit = np.where(classes[order] == classes[best], max_iou, MAX_IOU_OF_CLASSES)
        order = order[shared <= np.maximum(limit * union, 0)]
    return waiting[np.array(kept, np.intp)]


def overlaps(box: Floats, others: Floats) -> Floats:
    """Return the intersection over union of one box with each of the others.

    Args:
        box: Shape (4,): left, top, right, bottom.
        others: Shape (n, 4).

    Returns:
        Shape (n,), 0 to 1; 0 where both have no area.
    """
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    union = np.prod(box[2:] - box[:2]) + areas - shared
    iou: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou
