"""Decide which cells learn an object: ATSS (https://arxiv.org/abs/1912.02424), as upstream does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retinue_onnx.candidates import Floats, Integers
from retinue_onnx.readers.nanodet import Grid
from retinue_onnx.suppression import overlaps

CANDIDATES = 9
"""Nearest cells of each stride that are considered (``topk`` in ATSS)."""

ANCHOR_STRIDES = 5
"""Side of a cell's anchor, in strides (``octave_base_scale`` in config/nanodet-g.yml)."""

BINS_END = 10 - 1e-3
"""Largest distance that the bins express, in strides."""


@dataclass(frozen=True, slots=True)
class Targets:
    """The right answers of one stride's cells.

    Attributes:
        cells: Shape (n,): the cells with an object.
        classes: Shape (n,): its class.
        distances: Shape (n, 4): left, top, right, bottom of its box from the cell, in strides.
    """

    cells: Integers
    classes: Integers
    distances: Floats


def assign(boxes: Floats, classes: Integers, grids: Sequence[Grid]) -> list[Targets]:
    """Return the targets of each grid.

    Args:
        boxes: Shape (n, 4): left, top, right, bottom in pixels of the canvas.
        classes: Shape (n,).
        grids: The cells.
    """
    centres = [_centres(grid) for grid in grids]
    taken = [np.zeros(grid.cells, np.float32) for grid in grids]
    owners = [np.full(grid.cells, -1, np.int64) for grid in grids]
    for number, box in enumerate(boxes):
        middle = (box[:2] + box[2:]) / 2
        nearest = [
            np.argsort(np.square(points - middle).sum(axis=1), kind="stable")[:CANDIDATES]
            for points in centres
        ]
        found = [
            overlaps(box, _anchors(points[cells], grid))
            for points, cells, grid in zip(centres, nearest, grids, strict=True)
        ]
        every = np.concatenate(found)
        least = every.mean() + every.std()
        for level, (points, cells, iou) in enumerate(zip(centres, nearest, found, strict=True)):
            inside = ((points[cells] > box[:2]) & (points[cells] < box[2:])).all(axis=1)
            better = inside & (iou >= least) & (iou > taken[level][cells])
            taken[level][cells[better]] = iou[better]
            owners[level][cells[better]] = number
        if not any((owner == number).any() for owner in owners):
            # Smaller than a cell, or its cells belong to others: take the nearest one.
            level = int(np.argmax([iou.max() for iou in found]))
            owners[level][nearest[level][0]] = number
    targets = []
    for grid, points, owner in zip(grids, centres, owners, strict=True):
        cells = np.flatnonzero(owner >= 0)
        own = boxes[owner[cells]]
        sides = np.concatenate([points[cells] - own[:, :2], own[:, 2:] - points[cells]], axis=1)
        distances = np.clip(sides / grid.stride_px, 0, BINS_END).astype(np.float32)
        targets.append(Targets(cells, classes[owner[cells]], distances))
    return targets


def cells_inside(boxes: Floats, grid: Grid) -> Integers:
    """Return the cells with their centre in any of the boxes."""
    points = _centres(grid)[:, None]
    beyond = np.minimum(points - boxes[:, :2], boxes[:, 2:] - points).min(axis=2)
    return np.flatnonzero(beyond.max(axis=1, initial=0) > 0)


def _centres(grid: Grid) -> Floats:
    """Return the cells' centres in pixels, shape (cells, 2)."""
    cells = np.arange(grid.cells)
    return grid.boxes(cells, np.zeros((grid.cells, 4), np.float32))[:, :2]


def _anchors(points: Floats, grid: Grid) -> Floats:
    half = ANCHOR_STRIDES * grid.stride_px / 2
    anchors: npt.NDArray[np.float32] = np.concatenate([points - half, points + half], axis=1)
    return anchors
