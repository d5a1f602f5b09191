"""Masks and body points of a detection as SVG paths, to be drawn over its picture."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from retinue_cli.data.body_points import LIMBS, visible_points

MAX_CELLS = 160
"""Maximum number of columns and rows of a drawn mask. Finer masks are drawn coarser."""


MAX_PIXELS = 2**24
"""Maximum number of pixels of a mask that is drawn."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """Paths over a picture.

    Attributes:
        mask: The pixels of the thing, in columns and rows; empty without a mask.
        columns: Columns of the mask.
        rows: Rows of the mask.
        limbs: Lines between body points, as ratios of the picture.
        points: The body points, as ratios of the picture: lines of no length.
    """

    mask: str
    columns: int
    rows: int
    limbs: str
    points: str


def shapes_of(attributes: Mapping[str, Any]) -> Shapes | None:
    """Return the mask and the body points of a detection; ``None`` without both."""
    mask, columns, rows = _mask(attributes.get("mask"))
    limbs, points = _body(attributes.get("keypoints"))
    return Shapes(mask, columns, rows, limbs, points) if mask or points else None


def _mask(stored: Any) -> tuple[str, int, int]:
    if not isinstance(stored, Mapping):
        return "", 1, 1
    # Not at the top: NumPy takes 17 MB, and few detectors return masks.
    from retinue_sdk.masks import decode_mask

    match stored.get("size"):
        case [int() as rows, int() as columns] if 0 < rows * columns <= MAX_PIXELS:
            pass
        case _:
            return "", 1, 1
    try:
        mask = decode_mask(stored)
    except ValueError:
        return "", 1, 1
    step = max(1, -(-max(mask.shape) // MAX_CELLS))
    mask = mask[step // 2 :: step, step // 2 :: step]
    rows, columns = mask.shape
    path = "".join(
        f"M{column} {first}h1V{last}h-1z"
        for column in range(columns)
        for first, last in _runs(mask[:, column].tolist())
    )
    return path, columns, rows


def _runs(inside: list[bool]) -> Iterator[tuple[int, int]]:
    """Yield the first and the row after the last of each run of cells inside."""
    first = None
    for row, is_inside in enumerate([*inside, False]):
        if is_inside and first is None:
            first = row
        elif not is_inside and first is not None:
            yield first, row
            first = None


def _body(stored: Any) -> tuple[str, str]:
    if not isinstance(stored, list):
        return "", ""
    places = {name: f"{x:.4g} {y:.4g}" for name, (x, y) in visible_points(stored).items()}
    limbs = "".join(
        f"M{places[first]}L{places[second]}"
        for first, second in LIMBS
        if first in places and second in places
    )
    return limbs, "".join(f"M{place}h0" for place in places.values())
