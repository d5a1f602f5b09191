"""Non-maximum suppression: of boxes that overlap, keep the best."""

import numpy as np

from retinue_onnx.candidates import Candidates, Floats

MAX_CANDIDATES = 3_000
"""Most candidates that are compared, the best ones. Upstream NanoDet takes 1,000 a stride
(``nms_pre`` in ``gfl_head.py``)."""


def suppressed(candidates: Candidates, *, max_iou: float) -> Candidates:
    """The best candidate, then the best that does not overlap it, and so on: greedily, by class.

    Args:
        candidates: In any order.
        max_iou: Two boxes of one class remain only if their intersection over union is at most
            this, 0 to 1.

    Returns:
        Those that remain, best first.
    """
    waiting = candidates.best_first(MAX_CANDIDATES)
    order = np.arange(len(waiting))
    kept: list[int] = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        overlapping = overlaps(waiting.boxes[best], waiting.boxes[order]) > max_iou
        order = order[~(overlapping & (waiting.classes[order] == waiting.classes[best]))]
    return waiting[np.array(kept, np.intp)]


def overlaps(box: Floats, others: Floats) -> Floats:
    """Intersection over union of one box with each of the others.

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
