"""Thresholds, and the accuracy at them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from retinue_sdk.training import ClassScore

from retinue_onnx.candidates import Floats

Truths = npt.NDArray[np.bool_]

DIGITS = 3
"""Decimals of a threshold."""


def best_threshold(confidences: Floats, truths: Truths) -> float:
    """Return the threshold with the best F1 score.

    It is in the middle between two neighbouring confidences. Of equally good ones, the one
    closest to 0.5 is taken.

    Args:
        confidences: Shape (n,).
        truths: Whether each is right, shape (n,).
    """
    if not truths.any():
        return 0.5
    order = np.argsort(confidences, kind="stable")
    ordered, right = confidences[order], truths[order]
    middles = (ordered[1:] + ordered[:-1]) / 2
    candidates = np.unique(np.round([*middles, float(ordered[0]) / 2, 0.5], DIGITS))
    below = np.searchsorted(ordered, candidates.astype(np.float32))
    found = len(ordered) - below
    missed = np.concatenate([[0], np.cumsum(right)])[below]
    true = int(truths.sum())
    scores = 2 * (true - missed) / (found + true)
    equal = candidates[np.isclose(scores, scores.max())]
    return float(min(equal, key=lambda one: (abs(one - 0.5), one)))


def class_score(label: str, threshold: float, confidences: Floats, truths: Truths) -> ClassScore:
    """Return the accuracy for one label of whole images."""
    found = confidences >= threshold
    return ClassScore(
        label,
        threshold,
        int((found & truths).sum()),
        int((found & ~truths).sum()),
        int((~found & truths).sum()),
        average_precision(confidences, truths),
    )


def average_precision(confidences: Floats, truths: Truths) -> float | None:
    """Return the mean of the precision at each true one, best first; ``None`` without true ones.

    Of equal confidences, wrong ones come first.
    """
    if not truths.any():
        return None
    right = truths[np.lexsort((truths, -confidences))]
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    return float(precision[right].mean())


def mean_f1(thresholds: Sequence[float], probabilities: Floats, truths: Truths) -> float:
    """Return the mean F1 score of the labels that occur."""
    scores = [
        _f1(probabilities[:, index] >= threshold, truths[:, index])
        for index, threshold in enumerate(thresholds)
        if truths[:, index].any()
    ]
    return float(np.mean(scores)) if scores else 0.0


def _f1(found: Truths, truths: Truths) -> float:
    both = 2 * int((found & truths).sum())
    return both / (int(found.sum()) + int(truths.sum())) if both else 0.0
