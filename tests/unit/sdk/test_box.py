"""Bounding boxes: what they refuse, and the geometry that holds for all of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from retinue_sdk import BoundingBox

positions = st.floats(-3, 3)
some = st.floats(1e-6, 3)
sizes = st.one_of(st.just(0.0), some)
boxes = st.builds(BoundingBox, positions, positions, sizes, sizes)
whatever = st.floats(allow_nan=False, allow_infinity=False)
wild_boxes = st.builds(BoundingBox, whatever, whatever, whatever.map(abs), whatever.map(abs))


def test_a_box_knows_its_edges_and_area() -> None:
    box = BoundingBox(0.25, 0.5, 0.5, 0.25)
    assert (box.right, box.bottom, box.area) == (0.75, 0.75, 0.125)


def test_a_box_keeps_plain_floats() -> None:
    box = BoundingBox(np.float32(0.5), 1, np.float64(0.25), True)  # type: ignore[arg-type]
    values = (box.left, box.top, box.width, box.height)
    assert values == (0.5, 1.0, 0.25, 1.0)
    assert {type(value) for value in values} == {float}


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_box_is_finite(place: int, value: float) -> None:
    values = [0.5] * 4
    values[place] = value
    with pytest.raises(ValueError, match="must be finite"):
        BoundingBox(*values)


@pytest.mark.parametrize("size", [(-0.1, 0.1), (0.1, -0.1)])
def test_a_box_has_no_negative_size(size: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="both must be 0 or more"):
        BoundingBox(0, 0, *size)


def test_a_box_may_lie_outside_the_image() -> None:
    assert BoundingBox(-0.1, 0.9, 2, 2).right == pytest.approx(1.9)


def test_edges_in_pixels_become_ratios() -> None:
    box = BoundingBox.from_edges(50, 20, 150, 80, width=200, height=100)
    assert box == BoundingBox(0.25, 0.2, 0.5, 0.6)


@pytest.mark.parametrize(
    ("edges", "size"),
    [
        ((0, 0, 1, 1), (0, 1)),
        ((0, 0, 1, 1), (1, -1)),
        ((0, 0, 1, 1), (math.nan, 1)),
        ((1, 0, 0, 1), (1, 1)),
        ((0, 1, 1, 0), (1, 1)),
        ((0, 0, math.nan, 1), (1, 1)),
        ((-math.inf, 0, 1, 1), (1, 1)),
    ],
)
def test_impossible_edges_are_refused(
    edges: tuple[float, float, float, float], size: tuple[float, float]
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own text
        BoundingBox.from_edges(*edges, width=size[0], height=size[1])


@given(boxes, st.integers(1, 10_000), st.integers(1, 10_000))
def test_edges_come_back(box: BoundingBox, width: int, height: int) -> None:
    again = BoundingBox.from_edges(
        box.left * width,
        box.top * height,
        box.left * width + box.width * width,
        box.top * height + box.height * height,
        width=width,
        height=height,
    )
    assert (again.left, again.top, again.width, again.height) == pytest.approx(
        (box.left, box.top, box.width, box.height), abs=1e-9
    )


@given(st.one_of(boxes, wild_boxes))
def test_the_clipped_box_lies_inside(box: BoundingBox) -> None:
    clipped = box.clipped()
    assert 0 <= clipped.left <= clipped.right <= 1
    assert 0 <= clipped.top <= clipped.bottom <= 1
    assert clipped.width <= 1
    assert clipped.height <= 1


@given(boxes)
def test_clipping_keeps_what_is_visible(box: BoundingBox) -> None:
    clipped = box.clipped()
    if min(box.left, box.top) >= 0 >= max(box.right, box.bottom) - 1:
        assert (clipped.left, clipped.top) == (box.left, box.top)
        assert (clipped.right, clipped.bottom) == pytest.approx((box.right, box.bottom))
    if box.right < 0 or box.left > 1 or box.bottom < 0 or box.top > 1:
        assert clipped.area == 0


@given(st.one_of(boxes, wild_boxes), st.one_of(boxes, wild_boxes))
def test_overlap_is_symmetric_and_between_0_and_1(one: BoundingBox, other: BoundingBox) -> None:
    assert one.iou(other) == other.iou(one)
    assert 0 <= one.iou(other) <= 1


@given(st.builds(BoundingBox, positions, positions, some, some))
def test_a_box_overlaps_itself_wholly(box: BoundingBox) -> None:
    assert box.iou(box) == pytest.approx(1, abs=1e-6)


def test_overlap_of_known_boxes() -> None:
    box = BoundingBox(0, 0, 0.5, 0.5)
    assert box.iou(BoundingBox(0.25, 0, 0.5, 0.5)) == pytest.approx(1 / 3)
    assert box.iou(BoundingBox(0.5, 0, 0.5, 0.5)) == 0
    assert box.iou(BoundingBox(0.25, 0.25, 0, 0)) == 0
    nothing = BoundingBox(0.1, 0.1, 0, 0)
    assert nothing.iou(nothing) == 0
