"""Confidence intervals of AP and F1, by drawing images again (the percentile bootstrap)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from retinue_sdk.accuracy import average_precision, best_first

from retinue_cli.data.evaluation.score import Outcome

Floats = npt.NDArray[np.float64]

RESAMPLES = 1_000
SHARE = 0.95
"""The share of the resamples in an interval."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its confidence interval.

    Attributes:
        value: The value of the images as they are.
        low: The lower end.
        high: The upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LabelEstimate:
    """The accuracy for one label, or the mean of all labels.

    Attributes:
        label: The label.
        truths: Number of true items.
        ap50: Average precision at an intersection over union of 0.5.
        f1: F1 score at the threshold.
    """

    label: str
    truths: int
    ap50: Estimate
    f1: Estimate


def estimates(
    labels: Sequence[str],
    outcomes: Sequence[Sequence[Outcome]],
    thresholds: Sequence[float],
    *,
    seed: int,
) -> list[LabelEstimate]:
    """Return the accuracy for each label that has true items, and the mean of these labels.

    All labels share the resamples, so that the interval of the mean is right.

    Args:
        labels: The labels.
        outcomes: For each label, the outcome of each image.
        thresholds: For each label, the minimum confidence that counts for F1.
        seed: Chooses the resamples.
    """
    known = [place for place in range(len(labels)) if any(one.truths for one in outcomes[place])]
    images = len(outcomes[0]) if outcomes else 0
    random = np.random.default_rng(seed)
    counts = np.ones((RESAMPLES + 1, images), np.int64)  # the first are the images as they are
    for row in range(1, RESAMPLES + 1):
        counts[row] = np.bincount(random.integers(images, size=images), minlength=images)
    values = np.array(
        [_accuracies(outcomes[place], thresholds[place], counts) for place in known]
    ).reshape(len(known), RESAMPLES + 1, 2)
    found = [
        LabelEstimate(
            labels[place],
            sum(one.truths for one in outcomes[place]),
            _estimate(values[index, :, 0]),
            _estimate(values[index, :, 1]),
        )
        for index, place in enumerate(known)
    ]
    means = values.mean(axis=0) if known else np.zeros((RESAMPLES + 1, 2))
    truths = sum(one.truths for one in found)
    mean = LabelEstimate("mean", truths, _estimate(means[:, 0]), _estimate(means[:, 1]))
    return [*found, mean]


def _estimate(values: Floats) -> Estimate:
    low, high = np.quantile(values[1:], [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return Estimate(float(values[0]), float(low), float(high))


def _accuracies(
    outcomes: Sequence[Outcome], threshold: float, counts: npt.NDArray[np.int64]
) -> Floats:
    """Return AP and F1 for each row of ``counts``: how often each image is in the resample."""
    confidences = np.concatenate([one.confidences for one in outcomes])
    right = np.concatenate([one.is_right for one in outcomes])
    image = np.repeat(np.arange(len(outcomes)), [len(one.confidences) for one in outcomes])
    order = best_first(confidences)
    confidences, right, image = confidences[order], right[order], image[order]
    truths = counts @ np.array([one.truths for one in outcomes])
    reported = confidences >= threshold
    accuracies = np.zeros((len(counts), 2))
    for row, (often, number) in enumerate(zip(counts, truths, strict=True)):
        if not number:
            continue
        times = often[image]
        accuracies[row, 0] = average_precision(right, int(number), times)
        shown = int(times[reported].sum())
        accuracies[row, 1] = 2 * int(times[reported & right].sum()) / (shown + number)
    return accuracies
