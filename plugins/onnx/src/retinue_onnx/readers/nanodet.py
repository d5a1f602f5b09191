"""NanoDet: anchor-free object detection (https://github.com/RangiLyu/nanodet, Apache-2.0).

For each cell of a grid the network returns a score per class, and for each side of the box a
distribution of its distance from the cell's centre over bins of one stride (Generalized Focal Loss,
https://arxiv.org/abs/2006.04388).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from retinue_onnx.candidates import Candidates, Floats
from retinue_onnx.class_names import coco_names
from retinue_onnx.graph import Graph, Head
from retinue_onnx.preprocessing import Preprocessing
from retinue_onnx.readers.reader import Probe, Reader
from retinue_onnx.session import Array
from retinue_onnx.suppression import suppressed

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


def grids(
    height: int, width: int, *, strides: tuple[int, ...] = STRIDES_PX, centre: float = 0.5
) -> tuple[Grid, ...]:
    """Return the grids of a canvas.

    Distances of NanoDet and PicoDet start in the middle of a cell
    (``get_single_level_center_point`` in ``gfl_head.py``), those of NanoDet-Plus at its corner
    (``get_single_level_center_priors`` in ``nanodet_plus_head.py``). Checked by eye on photographs
    for the bundled model.
    """
    return tuple(Grid(s, -(-width // s), -(-height // s), centre) for s in strides)


@dataclass(frozen=True)
class NanoDet(Reader):
    """NanoDet.

    Images are letterboxed onto black, as upstream trains and evaluates (``keep_ratio: True``).
    It also gave better results on the sample photographs: stretched, the cat was a person.

    Attributes:
        classes: Number of classes.
        grids: One for each stride.
        heads: For each grid the numbers of the outputs with scores, shape (N, cells, classes),
            and distances, shape (N, cells, 4 × bins). Empty if there is one output with
            everything: shape (N, cells of all grids, classes + 4 × bins).
    """

    name: ClassVar[str] = "nanodet"
    outputs: ClassVar[str] = (
        "NanoDet: for each stride (N, cells, classes) and (N, cells, 4 × bins), or one "
        "(N, cells, classes + 4 × bins)"
    )
    preprocessing: ClassVar[Preprocessing] = Preprocessing.of(
        "letterbox", "imagenet", channels="bgr"
    )
    """``normalize`` in upstream's config/nanodet-g.yml."""
    MAX_IOU: ClassVar[float] = MAX_IOU
    STRIDES: ClassVar[tuple[int, ...]] = STRIDES_PX
    CENTRE: ClassVar[float] = 0.5

    classes: int
    grids: tuple[Grid, ...]
    heads: tuple[tuple[int, int], ...] = ()

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept scores and distances of each grid's cells."""
        outputs = probe.outputs
        if any(output.ndim != 3 or output.dtype.kind != "f" for output in outputs):
            return None
        classes = len(probe.labels or coco_names())
        levels = grids(probe.height, probe.width, strides=cls.STRIDES, centre=cls.CENTRE)
        if len(outputs) == 1:
            cells, columns = outputs[0].shape[1:]
            fits = cells == sum(grid.cells for grid in levels) and _are_bins(columns - classes)
            return cls(classes, levels) if fits else None
        heads, widths = [], [output.shape[2] for output in outputs]
        for grid in levels:
            pair = [i for i, output in enumerate(outputs) if output.shape[1] == grid.cells]
            # Both widths can be those of bins. Then the number of labels decides.
            pair.sort(key=lambda i: (widths[i] != classes, _are_bins(widths[i])))
            if len(pair) == 2 and _are_bins(widths[pair[1]]):
                heads.append((pair[0], pair[1]))
        found = {(widths[scores], widths[bins]) for scores, bins in heads}
        if len(outputs) != 2 * len(levels) or len(heads) != len(levels) or len(found) != 1:
            return None
        return cls(found.pop()[0], levels, tuple(heads))

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Decode cells whose score reaches the threshold, and suppress overlapping boxes."""
        boxes, scores, classes = [], [], []
        for grid, (grid_scores, bins) in zip(self.grids, self._split(outputs, index), strict=True):
            # Searched in one row, which takes less time than in rows and columns.
            found = np.flatnonzero(grid_scores >= threshold)
            cells, cell_classes = np.divmod(found, grid_scores.shape[1])
            boxes.append(grid.boxes(cells, expected_distances(bins[cells])))
            scores.append(grid_scores[cells, cell_classes])
            classes.append(cell_classes)
        candidates = Candidates.of(
            np.concatenate(boxes), np.concatenate(scores), np.concatenate(classes)
        )
        return suppressed(candidates, max_iou=MAX_IOU)

    def head(self, graph: Graph, outputs: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> Head:
        """Decode all cells."""
        if self.heads:
            pairs = zip(*self.heads, strict=True)
            scores, bins = (
                graph.op("Concat", *(outputs[number] for number in numbers), axis=1)
                for numbers in pairs
            )
            width = shapes[self.heads[0][1]][2]
        else:
            scores = graph.part(outputs[0], 0, self.classes)
            bins = graph.part(outputs[0], self.classes, None)
            width = shapes[0][2] - self.classes
        sides = graph.op("Softmax", graph.shaped(bins, 0, 0, 4, width // 4), axis=-1)
        mean = graph.op("MatMul", sides, graph.constant(np.arange(width // 4)[:, None]))
        distances = graph.shaped(mean, 0, 0, 4)
        middles, strides = [], []
        for grid in self.grids:
            cells = np.arange(grid.cells)
            corners = np.stack([cells % grid.columns, cells // grid.columns], axis=1)
            middles.append(corners + grid.centre)
            strides.append(np.full((grid.cells, 1), grid.stride_px))
        middle = graph.constant(np.concatenate(middles))
        low = graph.op("Sub", middle, graph.part(distances, 0, 2))
        high = graph.op("Add", middle, graph.part(distances, 2, 4))
        boxes = graph.op("Concat", low, high, axis=2)
        pixels = graph.op("Mul", boxes, graph.constant(np.concatenate(strides)))
        return Head(pixels, scores, None, (sum(grid.cells for grid in self.grids), self.classes))

    def _split(self, outputs: Sequence[Array], index: int) -> list[tuple[Floats, Floats]]:
        """Return scores (cells, classes) and bins (cells, 4 × bins) for each grid."""
        if self.heads:
            return [(outputs[scores][index], outputs[bins][index]) for scores, bins in self.heads]
        ends = np.cumsum([grid.cells for grid in self.grids])
        parts = np.split(outputs[0][index], ends[:-1], axis=0)
        return [(part[:, : self.classes], part[:, self.classes :]) for part in parts]


class NanoDetPlus(NanoDet):
    """NanoDet-Plus, with one more grid."""

    name: ClassVar[str] = "nanodet-plus"
    outputs: ClassVar[str] = "NanoDet-Plus: as NanoDet, with a fourth stride"
    STRIDES: ClassVar[tuple[int, ...]] = PLUS_STRIDES_PX
    CENTRE: ClassVar[float] = 0.0


class PicoDet(NanoDet):
    """PP-PicoDet, exported by PaddleDetection without its postprocessing.

    ``TestReader`` in configs/picodet has the preprocessing
    (https://github.com/PaddlePaddle/PaddleDetection, Apache-2.0).
    """

    name: ClassVar[str] = "picodet"
    outputs: ClassVar[str] = "PP-PicoDet: as NanoDet-Plus, for each stride"
    preprocessing: ClassVar[Preprocessing] = Preprocessing.of("stretch", "imagenet")
    STRIDES: ClassVar[tuple[int, ...]] = PLUS_STRIDES_PX

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept scores and distances of each grid's cells, in outputs of their own."""
        return None if len(probe.outputs) == 1 else super().fit(probe)


def _are_bins(width: int) -> bool:
    """Return whether this many numbers can be four distributions of two bins or more."""
    return width >= 8 and width % 4 == 0


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
