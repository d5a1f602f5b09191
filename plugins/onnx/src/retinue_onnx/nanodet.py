"""NanoDet: anchor-free object detection (https://github.com/RangiLyu/nanodet, Apache-2.0).

For each cell of a grid the network returns a score per class, and for each side of the box a
distribution of its distance from the cell's centre over bins of one stride (Generalized Focal Loss,
https://arxiv.org/abs/2006.04388).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from retinue_sdk import Pixels

from retinue_onnx.candidates import Candidates, Floats
from retinue_onnx.layout import Canvases
from retinue_onnx.letterbox import Placement, letterbox
from retinue_onnx.session import Array, Batch
from retinue_onnx.suppression import suppressed

MEAN_BGR = (103.53, 116.28, 123.675)
"""ImageNet's mean, blue first: ``normalize`` in upstream's config/nanodet-g.yml."""

STANDARD_DEVIATION_BGR = (57.375, 57.12, 58.395)
"""ImageNet's standard deviation, blue first, from the same file."""

STRIDES_PX = (8, 16, 32)
"""Sizes of a grid's cells (``strides`` in config/nanodet-g.yml)."""

PLUS_STRIDES_PX = (8, 16, 32, 64)
"""The same for NanoDet-Plus (config/nanodet-plus-m_416.yml)."""

MAX_IOU = 0.55
"""Boxes of one class that overlap more count as one object. Upstream evaluates with 0.6
(``gfl_head.py``); a lower limit leaves fewer duplicates.
"""


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells of one stride.

    Attributes:
        stride_px: Size of a cell, in pixels of the canvas.
        columns: Cells in a row.
        rows: Cells in a column.
        centre: The start of distances in a cell, as a ratio of the cell: 0.5 is its middle.
    """

    stride_px: int
    columns: int
    rows: int
    centre: float

    @property
    def cells(self) -> int:
        """Return the number of cells."""
        return self.columns * self.rows

    def boxes(self, cells: npt.NDArray[np.int64], distances: Floats) -> Floats:
        """Return boxes around cells.

        Args:
            cells: Shape (n,): numbers of cells, row by row.
            distances: Shape (n, 4): left, top, right, bottom, in strides.

        Returns:
            Shape (n, 4): left, top, right, bottom in pixels of the canvas.
        """
        centres = np.stack([cells % self.columns, cells // self.columns], axis=1) + self.centre
        edges = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
        return (edges * self.stride_px).astype(np.float32)


def grids(height: int, width: int, *, plus: bool = False) -> tuple[Grid, ...]:
    """Return the grids of a canvas.

    NanoDet's distances start in the middle of a cell (``get_single_level_center_point`` in
    ``gfl_head.py``), those of NanoDet-Plus at its corner (``get_single_level_center_priors`` in
    ``nanodet_plus_head.py``). Checked by eye on photographs for the bundled model.
    """
    strides, centre = (PLUS_STRIDES_PX, 0.0) if plus else (STRIDES_PX, 0.5)
    return tuple(Grid(s, -(-width // s), -(-height // s), centre) for s in strides)


@dataclass(frozen=True, slots=True)
class NanoDet:
    """NanoDet or NanoDet-Plus.

    Images are letterboxed onto black, as upstream trains and evaluates (``keep_ratio: True``).
    It also gave better results on the sample photographs: stretched, the cat was a person.

    Attributes:
        height: Height of the canvas, in pixels.
        width: Width of the canvas, in pixels.
        grids: One for each stride.
        classes: Number of classes.
        heads: For each grid the numbers of the outputs with scores, shape (N, cells, classes),
            and distances, shape (N, cells, 4 × bins). Empty if there is one output with
            everything: shape (N, cells of all grids, classes + 4 × bins).
    """

    height: int
    width: int
    grids: tuple[Grid, ...]
    classes: int
    heads: tuple[tuple[int, int], ...] = ()

    @property
    def name(self) -> str:
        """Return the name for the raw response."""
        return "nanodet" if len(self.grids) == len(STRIDES_PX) else "nanodet-plus"

    def place(self, pixels: Pixels) -> tuple[Pixels, Placement]:
        """Letterbox the image on black."""
        return letterbox(pixels, height=self.height, width=self.width)

    def normalise(self, canvases: Canvases) -> Batch:
        """Return blue first, minus the mean, divided by the standard deviation."""
        count, height, width, _ = canvases.shape
        batch: Batch = np.empty((count, 3, height, width), np.float32)
        for plane, channel in enumerate((2, 1, 0)):  # plane by plane, which is several times faster
            mean, deviation = MEAN_BGR[plane], STANDARD_DEVIATION_BGR[plane]
            np.subtract(canvases[..., channel], np.float32(mean), out=batch[:, plane])
            batch[:, plane] /= np.float32(deviation)
        return batch

    def read(self, outputs: Sequence[Array], count: int, threshold: float) -> list[Candidates]:
        """Decode cells whose score reaches the threshold, and suppress overlapping boxes."""
        heads = list(self._split(outputs))
        return [
            self._read_one([(scores[i], bins[i]) for scores, bins in heads], threshold)
            for i in range(count)
        ]

    def _split(self, outputs: Sequence[Array]) -> list[tuple[Floats, Floats]]:
        """Return scores (N, cells, classes) and bins (N, cells, 4 × bins) for each grid."""
        if self.heads:
            return [(outputs[scores], outputs[bins]) for scores, bins in self.heads]
        ends = np.cumsum([grid.cells for grid in self.grids])
        parts = np.split(outputs[0], ends[:-1], axis=1)
        return [(part[..., : self.classes], part[..., self.classes :]) for part in parts]

    def _read_one(self, heads: list[tuple[Floats, Floats]], threshold: float) -> Candidates:
        boxes, scores, classes = [], [], []
        for grid, (grid_scores, bins) in zip(self.grids, heads, strict=True):
            # Searched in one row, which is several times faster than in rows and columns.
            found = np.flatnonzero(grid_scores >= threshold)
            cells, cell_classes = np.divmod(found, grid_scores.shape[1])
            boxes.append(grid.boxes(cells, expected_distances(bins[cells])))
            scores.append(grid_scores[cells, cell_classes])
            classes.append(cell_classes)
        candidates = Candidates.of(
            np.concatenate(boxes), np.concatenate(scores), np.concatenate(classes)
        )
        return suppressed(candidates, max_iou=MAX_IOU)


def expected_distances(bins: Floats) -> Floats:
    """Return the mean of each side's distribution: softmax, then the sum of bin × probability.

    ``Integral`` in upstream's ``gfl_head.py``.

    Args:
        bins: Shape (n, 4 × bins), float32.

    Returns:
        Shape (n, 4), float32: left, top, right, bottom in strides, 0 to bins − 1.
    """
    sides = bins.reshape(len(bins), 4, bins.shape[1] // 4)
    weights = np.exp(sides - sides.max(axis=2, keepdims=True))
    mean: Floats = weights @ np.arange(sides.shape[2], dtype=np.float32) / weights.sum(axis=2)
    return mean
