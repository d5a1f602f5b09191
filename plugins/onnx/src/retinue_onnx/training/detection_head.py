"""The forward and backward pass of NanoDet's heads, and their optimiser, in NumPy.

A head is two matrix products, and the body in front of it isn't trained, so that the gradients are
a few lines. PyTorch isn't needed: its wheel for Linux takes half a gigabyte, with CUDA.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from retinue_onnx.readers.nanodet import expected_distances
from retinue_onnx.training.assignment import Targets
from retinue_onnx.training.nanodet_body import BINS, Floats, Halves, HeadWeights

NEGATIVES_PER_POSITIVE = 3
"""How many background cells are learned from (SSD, https://arxiv.org/abs/1512.02325)."""

MIN_NEGATIVES = 32
"""The same for an image with few or no objects."""

BACKGROUND_CELLS = 256
"""Background cells of an image and stride that are looked at in an epoch, at random. All of them
would take five times as long.
"""

BOX_WEIGHT = 0.25
"""Weight of the boxes' loss (``loss_dfl`` in upstream's config/nanodet-g.yml)."""

Cells = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Outputs:
    """A head's outputs for one image, and the values for the backward pass.

    Attributes:
        rows: Shape (cells, 9 × channels): the neighbourhood of each cell.
        hidden: Shape (cells, hidden).
        scores: Shape (cells, classes), 0 to 1.
        bins: Shape (cells, 4 × bins).
    """

    rows: Floats
    hidden: Floats
    scores: Floats
    bins: Floats


def forward(
    weights: HeadWeights, features: Halves, slope: float, cells: Cells | None = None
) -> Outputs:
    """Return a head's outputs.

    Args:
        weights: Its weights.
        features: Shape (rows, columns, channels).
        slope: Slope of Leaky ReLU below 0.
        cells: Numbers of the cells to compute; all if ``None``.
    """
    height, width, channels = features.shape
    padded = np.zeros((height + 2, width + 2, channels), np.float32)
    padded[1:-1, 1:-1] = features
    if cells is None:
        cells = np.arange(height * width)
    row, column = np.divmod(cells, width)
    near = np.arange(9)
    rows = padded[row[:, None] + near // 3, column[:, None] + near % 3].reshape(len(cells), -1)
    hidden = rows @ weights.conv
    hidden += weights.conv_bias
    np.maximum(hidden, slope * hidden, out=hidden)
    out = hidden @ weights.out
    out += weights.out_bias
    scores = 1 / (1 + np.exp(-out[:, : -4 * BINS]))
    return Outputs(rows, hidden, scores, out[:, -4 * BINS :])


def sampled(targets: Targets, known: Cells, number: int, random: np.random.Generator) -> Cells:
    """Return the cells with an object, then background cells at random.

    Args:
        targets: The targets of a stride.
        known: Background cells that are always included, unless an object has them.
        number: Number of its cells.
        random: The random generator.
    """
    chosen = np.concatenate([known, random.permutation(number)[:BACKGROUND_CELLS]])
    return np.concatenate([targets.cells, np.setdiff1d(chosen, targets.cells)])


@dataclass(frozen=True, slots=True)
class Gradients:
    """The gradients of one head for one image.

    Attributes:
        arrays: One for each weight.
        loss: The loss.
        positives: Number of cells with an object.
    """

    arrays: tuple[Floats, ...]
    loss: float
    positives: int


def gradients_of(
    weights: HeadWeights, outputs: Outputs, targets: Targets, slope: float
) -> Gradients:
    """Return the loss of the sampled cells of one image, and its gradients.

    Quality Focal Loss for the scores and Distribution Focal Loss for the boxes
    (https://arxiv.org/abs/2006.04388), over the cells with an object and the background cells with
    the largest loss (https://arxiv.org/abs/1604.03540).
    """
    quality = overlap(outputs.bins[: len(targets.cells)], targets.distances)
    cells, loss, by_logits, by_bins = losses(outputs, targets, quality)
    by_out = np.zeros((len(cells), weights.out.shape[1]), np.float32)
    by_out[:, : -4 * BINS] = by_logits
    by_out[: len(targets.cells), -4 * BINS :] = by_bins
    hidden = outputs.hidden[cells]
    by_hidden = by_out @ weights.out.T
    by_hidden *= np.where(hidden > 0, np.float32(1), np.float32(slope))
    return Gradients(
        (
            outputs.rows[cells].T @ by_hidden,
            by_hidden.sum(axis=0),
            hidden.T @ by_out,
            by_out.sum(axis=0),
        ),
        loss,
        len(targets.cells),
    )


def losses(
    outputs: Outputs, targets: Targets, quality: Floats
) -> tuple[Cells, float, Floats, Floats]:
    """Return the loss of sampled cells, and its gradients by logits and bins.

    Args:
        outputs: Outputs of the cells with an object, then of background cells.
        targets: The expected answers of the former.
        quality: The scores that their classes should have: the overlaps of their boxes.

    Returns:
        The indices of the cells that count, those with an object first, the loss, its gradient by
        the logits of these cells, and its gradient by the bins of the cells with an object.
    """
    positives = np.arange(len(targets.cells))
    wanted = np.zeros_like(outputs.scores)
    wanted[positives, targets.classes] = quality
    scores = np.clip(outputs.scores, 1e-6, 1 - 1e-6)
    off = scores - wanted
    entropy = -(wanted * np.log(scores) + (1 - wanted) * np.log(1 - scores))
    focal = off**2 * entropy
    background = focal.sum(axis=1)
    background[positives] = -1
    number = max(NEGATIVES_PER_POSITIVE * len(positives), MIN_NEGATIVES)
    number = min(number, len(background) - len(positives))
    hardest = np.argsort(-background, kind="stable")[:number]
    cells = np.concatenate([positives, hardest])
    by_logits = (2 * off * scores * (1 - scores) * entropy + off**2 * off)[cells]
    loss = float(focal[cells].sum())
    box_loss, by_bins = _box_loss(outputs.bins[positives], targets.distances)
    return cells, loss + BOX_WEIGHT * box_loss, by_logits, BOX_WEIGHT * by_bins


def overlap(bins: Floats, distances: Floats) -> Floats:
    """Return the intersection over union of predicted boxes with the true ones, shape (n,)."""
    predicted = expected_distances(bins)
    shared = np.minimum(predicted, distances)
    inside = (shared[:, 0] + shared[:, 2]) * (shared[:, 1] + shared[:, 3])
    areas = [(one[:, 0] + one[:, 2]) * (one[:, 1] + one[:, 3]) for one in (predicted, distances)]
    iou: Floats = inside / np.maximum(areas[0] + areas[1] - inside, 1e-6)
    return iou


def _box_loss(bins: Floats, distances: Floats) -> tuple[float, Floats]:
    """Return the Distribution Focal Loss, a cell's mean over its sides, and its gradient."""
    sides = bins.reshape(-1, BINS)
    share = np.exp(sides - sides.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    flat = distances.reshape(-1)
    low = flat.astype(np.int64)
    wanted = np.zeros_like(share)
    index = np.arange(len(flat))
    wanted[index, low] = low + 1 - flat
    wanted[index, low + 1] = flat - low
    loss = -float((wanted * np.log(np.maximum(share, 1e-12))).sum()) / 4
    gradient: Floats = ((share - wanted) / 4).reshape(len(bins), 4 * BINS)
    return loss, gradient


@dataclass(slots=True)
class Adam:
    """Adam with decoupled weight decay (https://arxiv.org/abs/1711.05101).

    Attributes:
        steps: Number of finished steps.
        first: The mean of the gradients, for each array.
        second: The mean of their squares.
    """

    steps: int = 0
    first: list[Floats] = field(default_factory=list)
    second: list[Floats] = field(default_factory=list)
    decay: float = 0.01

    def begin(self, arrays: Sequence[Floats]) -> None:
        """Reset all gradients."""
        self.first = [np.zeros_like(one) for one in arrays]
        self.second = [np.zeros_like(one) for one in arrays]

    def step(self, arrays: Sequence[Floats], gradients: Sequence[Floats], rate: float) -> None:
        """Change the arrays in place."""
        if not self.first:
            self.begin(arrays)
        self.steps += 1
        small, large = 1 - 0.9**self.steps, 1 - 0.999**self.steps
        for array, gradient, mean, square in zip(
            arrays, gradients, self.first, self.second, strict=True
        ):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            if array.ndim > 1:
                array *= 1 - rate * self.decay
            array -= rate * (mean / small) / (np.sqrt(square / large) + 1e-8)
