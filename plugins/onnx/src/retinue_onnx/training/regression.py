"""Logistic regression with L2 regularisation, for exclusive labels and for independent ones.

Exclusive labels have one softmax (multinomial regression), independent ones a sigmoid each. Both
have the same gradient. It is minimised by Nesterov's accelerated gradient method with the step
that the data's largest eigenvalue allows and restarts (O'Donoghue and Candès 2015,
https://doi.org/10.1007/s10208-013-9150-3), so there is no learning rate to choose.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from retinue_onnx.candidates import Floats

EPOCHS = 300
PATIENCE = 30

L2 = 1e-4
"""Weight of half the squared norm of the weights."""

ROWS = 4_096
"""Rows that are in memory together."""


@dataclass(frozen=True, slots=True)
class Regression:
    """A linear model of the raw features.

    Attributes:
        weights: Shape (outputs, features).
        bias: Shape (outputs,).
        exclusive: Whether one softmax covers all outputs.
    """

    weights: Floats
    bias: Floats
    exclusive: bool

    def probabilities(self, features: Floats) -> Floats:
        """Return the probabilities, shape (n, outputs)."""
        return _probabilities(features @ self.weights.T + self.bias, exclusive=self.exclusive)


@dataclass(frozen=True, slots=True)
class Fit:
    """The result of a fit.

    Attributes:
        model: The model with the lowest validation loss.
        epochs: Number of finished epochs.
        loss: Its validation loss.
        stopped: Why the fit ended: ``patience``, ``epochs``, or ``interrupted``.
    """

    model: Regression
    epochs: int
    loss: float
    stopped: str


def fit(
    train: tuple[Floats, Floats],
    validation: tuple[Floats, Floats],
    *,
    exclusive: bool,
    epochs: int,
    patience: int,
    after_epoch: Callable[[int, float, Regression], None],
    stop: threading.Event,
) -> Fit:
    """Fit a model to features (n, d) and targets (n, outputs).

    The targets of exclusive labels sum to 1 in each row. Features are scaled to the mean 0 and the
    standard deviation 1 / √d; the model contains the scaling.
    """
    features, targets = train
    mean, deviation = _moments(features)
    scale = (1 / (deviation * np.sqrt(features.shape[1]))).astype(np.float32)
    outputs = targets.shape[1]
    weights = np.zeros((outputs, features.shape[1] + 1), np.float32)  # the last column is the bias
    # The Hessian of softmax is at most 1/2 of the data's second moment, of sigmoids 1/4.
    step = 1 / ((0.5 if exclusive else 0.25) * _largest_eigenvalue(features, mean, scale) + L2)
    ahead, momentum = weights.copy(), 1.0
    best: tuple[float, Regression, int] | None = None
    epoch, stopped = 0, "epochs"
    for epoch in range(1, epochs + 1):
        gradient = np.zeros_like(weights)
        for rows in _rows(len(features)):
            scaled = _scaled(features[rows], mean, scale)
            found = _probabilities(scaled @ ahead.T, exclusive=exclusive)
            gradient += (found - targets[rows]).T @ scaled
        gradient /= len(features)
        gradient[:, :-1] += np.float32(L2) * ahead[:, :-1]
        moved = ahead - np.float32(step) * gradient
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        if float((gradient * (moved - weights)).sum()) > 0:
            following, momentum = 1.0, 1.0
        ahead = moved + np.float32((momentum - 1) / following) * (moved - weights)
        weights, momentum = moved, following
        model = _unscaled(weights, mean, scale, exclusive=exclusive)
        loss = _loss(model.probabilities(validation[0]), validation[1], exclusive=exclusive)
        if best is None or loss < best[0]:
            best = loss, model, epoch
        after_epoch(epoch, loss, model)
        if stop.is_set():
            stopped = "interrupted"
            break
        if epoch - best[2] >= patience:
            stopped = "patience"
            break
    assert best is not None, "there is at least one epoch"  # noqa: S101 - for the type checker
    return Fit(best[1], epoch, best[0], stopped)


def _probabilities(logits: Floats, *, exclusive: bool) -> Floats:
    if not exclusive:
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), np.float32)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def _loss(found: Floats, targets: Floats, *, exclusive: bool) -> float:
    """Return the mean cross entropy of a row."""
    found = found.clip(1e-7, 1 - 1e-7)
    entropy = targets * np.log(found)
    if not exclusive:
        entropy = entropy + (1 - targets) * np.log(1 - found)
    return -float(entropy.sum(axis=1).mean())


def _moments(features: Floats) -> tuple[Floats, Floats]:
    total = np.zeros(features.shape[1])
    squares = np.zeros(features.shape[1])
    for rows in _rows(len(features)):
        values = features[rows].astype(np.float64)
        total += values.sum(axis=0)
        squares += (values**2).sum(axis=0)
    mean = total / len(features)
    variance = np.maximum(squares / len(features) - mean**2, 0)
    return mean.astype(np.float32), np.maximum(np.sqrt(variance), 1e-3).astype(np.float32)


def _largest_eigenvalue(features: Floats, mean: Floats, scale: Floats) -> float:
    """Return the largest eigenvalue of the scaled data's second moment, by power iteration."""
    vector = np.ones(features.shape[1] + 1, np.float32)
    value = 1.0
    for _ in range(12):
        vector /= np.float32(np.linalg.norm(vector))
        product = np.zeros_like(vector)
        for rows in _rows(len(features)):
            scaled = _scaled(features[rows], mean, scale)
            product += scaled.T @ (scaled @ vector)
        vector = product / len(features)
        value = float(np.linalg.norm(vector))
    return 1.05 * value  # power iteration approaches it from below


def _scaled(features: Floats, mean: Floats, scale: Floats) -> Floats:
    """Return scaled features with a column of ones."""
    ones = np.ones((len(features), 1), np.float32)
    return np.concatenate([(features - mean) * scale, ones], axis=1)


def _unscaled(weights: Floats, mean: Floats, scale: Floats, *, exclusive: bool) -> Regression:
    """Return the model of raw features."""
    raw = weights[:, :-1] * scale
    bias = weights[:, -1] - raw @ mean
    return Regression(raw.astype(np.float32), bias.astype(np.float32), exclusive)


def _rows(number: int) -> Iterator[slice]:
    for first in range(0, number, ROWS):
        yield slice(first, first + ROWS)
