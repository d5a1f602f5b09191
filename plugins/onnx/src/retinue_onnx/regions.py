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
        # Every second sum is of the pixels between two runs.
        borders = self._borders(values.shape[1])
        sums = np.add.reduceat(values.ravel()[: borders[-1]], borders[:-1])
        return float(sums[::2].sum())

    def mask(self, height: int, width: int) -> Mask:
        """Return the mask with only this region's pixels: shape (height, width)."""
        borders = np.concatenate([[0], self._borders(width), [height * width]])
        inside = np.zeros(len(borders) - 1, np.bool_)
        inside[1::2] = True
        return np.repeat(inside, borders[1:] - borders[:-1]).reshape(height, width)

    def _borders(self, width: int) -> Array:
        """Return start and end of each run, counted through all rows: shape (2n,)."""
        begin = self.rows * width
        return np.stack([begin + self.starts, begin + self.ends], axis=1).ravel()

    def outline(self) -> Floats:
        """Return the centres of each run's first and last pixel, x and y: shape (2n, 2)."""
        columns = np.concatenate([self.starts, self.ends - 1])
        return np.stack([columns, np.concatenate([self.rows, self.rows])], axis=1).astype(
            np.float32
        )


def regions(mask: Mask, *, min_area: float = 1) -> list[Region]:
    """Return the regions of a mask's pixels that touch, at least at a corner, from top to bottom.

    Args:
        mask: Shape (height, width).
        min_area: Minimum number of pixels of a region.
    """
    # Runs begin and end where a pixel differs from the next one. Columns between the rows end each.
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.bool_)
    padded[:, 1:-1] = mask
    flat = padded.reshape(-1)
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    if not len(changes):
        return []
    rows, starts = np.divmod(changes[::2], padded.shape[1])
    ends = changes[1::2] % padded.shape[1]
    roots = _roots(changes[::2], changes[1::2], padded.shape[1])
    if min_area > 1:
        kept = np.bincount(roots, ends - starts)[roots] >= min_area
        rows, starts, ends, roots = rows[kept], starts[kept], ends[kept], roots[kept]
    if not len(roots):
        return []
    order = np.argsort(roots, kind="stable")
    borders = np.nonzero(np.diff(roots[order]))[0] + 1
    return [
        Region(rows[chosen], starts[chosen], ends[chosen]) for chosen in np.split(order, borders)
    ]


def _roots(starts: Array, ends: Array, width: int) -> Array:
    """Return the first run of each run's region.

    Args:
        starts: Shape (n,): the first pixel of each run, counted through all rows.
        ends: Shape (n,): the pixel after its last one.
        width: Pixels from one row to the next. The last two of a row are in no run.
    """
    # Runs touch those from ``first`` to before ``last`` in the row above.
    first = np.searchsorted(ends, starts - width)
    last = np.searchsorted(starts, ends - width, side="right")
    runs = np.arange(len(starts))
    roots = _followed(np.where(first < last, first, runs))
    # A run that touches several joins their regions. Few do.
    parents = roots.tolist()

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = parents[parents[run]]
            run = parents[run]
        return run

    for run in np.flatnonzero(last > first + 1).tolist():
        for other in range(first[run] + 1, last[run]):
            one, two = sorted((root(parents[run]), root(parents[other])))
            parents[two] = one
    return _followed(np.array(parents))


def _followed(parents: Array) -> Array:
    """Return the end of each chain of parents."""
    while (further := parents[parents]).tobytes() != parents.tobytes():
        parents = further
    return parents


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
