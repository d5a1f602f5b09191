"""Connected regions of a mask, and the smallest rectangles around them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retinue_onnx.candidates import Floats

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Region:
    """Pixels that touch each other, as runs of pixels in rows.

    Attributes:
        rows: Shape (n,), int64: the row of each run, ascending.
        starts: Shape (n,), int64: its first column.
        ends: Shape (n,), int64: the column after its last one.
    """

    rows: Array
    starts: Array
    ends: Array

    @property
    def area(self) -> int:
        """Return the number of pixels."""
        return int((self.ends - self.starts).sum())

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom, in pixels."""
        left, right = int(self.starts.min()), int(self.ends.max())
        return left, int(self.rows[0]), right, int(self.rows[-1]) + 1

    def sum_of(self, values: Floats) -> float:
        """Return the sum of the region's pixels in an array of the mask's shape."""
        begin = self.rows * values.shape[1]
        # Every second sum is of the pixels between two runs.
        borders = np.stack([begin + self.starts, begin + self.ends], axis=1).ravel()
        sums = np.add.reduceat(values.ravel()[: borders[-1]], borders[:-1])
        return float(sums[::2].sum())

    def outline(self) -> Floats:
        """Return the centres of each run's first and last pixel, x and y: shape (2n, 2)."""
        columns = np.concatenate([self.starts, self.ends - 1])
        return np.stack([columns, np.concatenate([self.rows, self.rows])], axis=1).astype(
            np.float32
        )


def regions(mask: Mask) -> list[Region]:
    """Return the regions of a mask's pixels that touch, at least at a corner, from top to bottom.

    Args:
        mask: Shape (height, width).
    """
    # Runs begin and end where a pixel differs from the next one. Columns between the rows end each.
    padded = np.pad(mask, ((0, 0), (1, 1)))
    flat = padded.reshape(-1)
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    if not len(changes):
        return []
    rows, starts = np.divmod(changes[::2], padded.shape[1])
    ends = changes[1::2] % padded.shape[1]
    roots = np.array(_roots(rows.tolist(), starts.tolist(), ends.tolist()))
    order = np.argsort(roots, kind="stable")
    borders = np.nonzero(np.diff(roots[order]))[0] + 1
    return [
        Region(rows[chosen], starts[chosen], ends[chosen]) for chosen in np.split(order, borders)
    ]


def _roots(rows: list[int], starts: list[int], ends: list[int]) -> list[int]:
    """Return the first run of each run's region."""
    parents = list(range(len(rows)))

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = parents[parents[run]]
            run = parents[run]
        return run

    above = 0  # the first run that may touch this one from the row above
    for run, row in enumerate(rows):
        while rows[above] < row - 1 or (rows[above] == row - 1 and ends[above] < starts[run]):
            above += 1
        other = above
        while rows[other] == row - 1 and starts[other] <= ends[run]:
            one, two = root(other), root(run)
            if one < two:
                parents[two] = one
            else:
                parents[one] = two
            other += 1
    return [root(run) for run in range(len(rows))]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rotated rectangle.

    Attributes:
        centre: Shape (2,), float32: x and y.
        along: Shape (2,), float32: the direction of its width, of length 1, within 45° of
            the right.
        width: Its width.
        height: Its height.
    """

    centre: Floats
    along: Floats
    width: float
    height: float

    def corners(self) -> Floats:
        """Return its corners, clockwise from the top left: shape (4, 2)."""
        right = self.along * (self.width / 2)
        down = np.array((-self.along[1], self.along[0]), np.float32) * (self.height / 2)
        signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
        return np.stack([self.centre + x * right + y * down for x, y in signs])

    def grown(self, distance: float) -> "Rectangle":
        """Return it with every side moved outwards."""
        return Rectangle(
            self.centre, self.along, self.width + 2 * distance, self.height + 2 * distance
        )


def smallest_rectangle(points: Floats) -> Rectangle:
    """Return the rectangle of the smallest area around points.

    One of its sides is on a side of the points' convex hull.

    Args:
        points: Shape (n, 2), n at least 1.
    """
    hull = _convex_hull(points)
    sides = np.roll(hull, -1, axis=0) - hull
    lengths = np.hypot(sides[:, 0], sides[:, 1])
    if len(hull) == 1:
        sides, lengths = np.array([[1, 0]], np.float32), np.ones(1, np.float32)
    along = sides / lengths[:, None]
    # Each direction is turned by quarters until it points to the right within 45°.
    flat = np.abs(along[:, 0]) >= np.abs(along[:, 1])
    along = np.where(flat[:, None], along, np.stack([along[:, 1], -along[:, 0]], axis=1))
    along = along * np.where(along[:, :1] < 0, -1, 1)
    down = np.stack([-along[:, 1], along[:, 0]], axis=1)
    xs, ys = hull @ along.T, hull @ down.T  # a column for each direction
    widths, heights = np.ptp(xs, axis=0), np.ptp(ys, axis=0)
    best = int(np.argmin(widths * heights))
    middle = (
        (xs[:, best].min() + xs[:, best].max()) / 2,
        (ys[:, best].min() + ys[:, best].max()) / 2,
    )
    centre = (along[best] * middle[0] + down[best] * middle[1]).astype(np.float32)
    return Rectangle(
        centre, along[best].astype(np.float32), float(widths[best]), float(heights[best])
    )


def _convex_hull(points: Floats) -> Floats:
    """Return the corners of the convex hull, by Andrew's monotone chain."""
    ordered = sorted(set(map(tuple, points.tolist())))
    if len(ordered) < 3:
        return np.array(ordered, np.float32)
    hull: list[list[float]] = []
    for half in (ordered, ordered[::-1]):
        chain: list[list[float]] = []
        for x, y in half:
            while len(chain) > 1:
                (x1, y1), (x2, y2) = chain[-2:]
                if (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1) > 0:
                    break
                chain.pop()
            chain.append([x, y])
        hull += chain[:-1]
    return np.array(hull, np.float32)
