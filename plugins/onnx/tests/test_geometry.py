"""Letterboxing and suppression, for whatever images and boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from retinue_onnx.candidates import Candidates
from retinue_onnx.errors import NotANumberError
from retinue_onnx.letterbox import letterboxed, stretched
from retinue_onnx.readers.nanodet import expected_distances, grids
from retinue_onnx.suppression import MAX_IOU_OF_CLASSES, overlaps, suppressed
from retinue_sdk import Image

sides = st.integers(1, 700)
coordinates = st.integers(0, 40)


@st.composite
def candidates(draw: st.DrawFn) -> Candidates:
    rows = draw(
        st.lists(
            st.tuples(
                coordinates,
                coordinates,
                coordinates,
                coordinates,
                st.floats(0, 1, width=32),
                st.integers(0, 2),
            ),
            max_size=40,
        )
    )
    values = np.array(rows, np.float32).reshape(-1, 6)
    corners = values[:, :2]
    boxes = np.concatenate([corners, corners + values[:, 2:4]], axis=1)
    return Candidates.of(boxes, values[:, 4], values[:, 5].astype(np.int64))


@given(width=sides, height=sides, x=st.floats(-1, 2, width=32), y=st.floats(-1, 2, width=32))
def test_a_place_in_the_image_survives_the_letterbox(
    width: int, height: int, x: float, y: float
) -> None:
    pixels = np.zeros((height, width, 3), np.uint8)
    canvas, placement = letterboxed(Image.from_pixels(pixels), height=96, width=128)
    assert canvas.shape == (96, 128, 3)
    point = np.array([x, y], np.float32)
    assert placement.to_ratios(placement.to_canvas(point)) == pytest.approx(point, abs=1e-3)


@given(width=sides, height=sides)
def test_the_letterboxed_image_lies_where_it_says(width: int, height: int) -> None:
    pixels = np.full((height, width, 3), 255, np.uint8)
    canvas, placement = letterboxed(Image.from_pixels(pixels), height=96, width=128, fill=7)
    rows = slice(placement.top, placement.top + placement.height)
    columns = slice(placement.left, placement.left + placement.width)
    assert (canvas[rows, columns] == 255).all()
    assert (canvas == 255).sum() == placement.height * placement.width * 3
    assert placement.height == 96 or placement.width == 128
    assert abs(2 * placement.left + placement.width - 128) <= 1
    assert abs(2 * placement.top + placement.height - 96) <= 1


@given(width=sides, height=sides)
def test_a_stretched_image_fills_the_canvas(width: int, height: int) -> None:
    image = Image.from_pixels(np.full((height, width, 3), 9, np.uint8))
    canvas, placement = stretched(image, height=64, width=32)
    assert canvas.shape == (64, 32, 3)
    assert (canvas == 9).all()
    assert placement.to_ratios(np.array([32, 64], np.float32)).tolist() == [1, 1]


@given(found=candidates(), max_iou=st.floats(0, 1))
def test_suppression_keeps_the_best_and_no_overlap(found: Candidates, max_iou: float) -> None:
    kept = suppressed(found, max_iou=max_iou)
    assert (np.diff(kept.scores) <= 0).all()
    assert kept.scores.max(initial=0) == found.scores.max(initial=0)
    for i in range(len(kept)):
        later = kept[np.arange(i + 1, len(kept))]
        iou = overlaps(kept.boxes[i], later.boxes)
        same = later.classes == kept.classes[i]
        assert (iou[same] <= max_iou).all()
        assert (iou[~same] <= MAX_IOU_OF_CLASSES).all()


@given(found=candidates(), max_iou=st.floats(0, 1))
def test_whatever_is_suppressed_overlaps_something_better(
    found: Candidates, max_iou: float
) -> None:
    kept = suppressed(found, max_iou=max_iou)
    for box, score, index in zip(found.boxes, found.scores, found.classes, strict=True):
        rivals = kept[kept.scores >= score]
        same = rivals.classes == index
        is_kept = (rivals.boxes[same] == box).all(axis=1).any()
        iou = overlaps(box, rivals.boxes)
        assert is_kept or (iou[same] > max_iou).any() or (iou > MAX_IOU_OF_CLASSES).any()


def test_one_thing_has_one_label_and_things_within_each_other_have_two() -> None:
    boxes = np.array([[0, 0, 100, 100], [1, 0, 100, 100], [10, 10, 90, 90]], np.float32)
    scores = np.array([0.4, 0.6, 0.5], np.float32)
    kept = suppressed(Candidates.of(boxes, scores, np.array([16, 15, 0])), max_iou=0.55)
    assert kept.classes.tolist() == [15, 0]


def test_candidates_are_finite() -> None:
    with pytest.raises(NotANumberError):
        Candidates.of(
            np.array([[0, 0, np.inf, 1]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64)
        )


def test_distances_are_the_mean_of_their_bins() -> None:
    bins = np.zeros((1, 4 * 11), np.float32)
    bins[0, 3] = 100  # left: certainly bin 3; the others: evenly spread, so the middle one
    assert expected_distances(bins)[0] == pytest.approx([3, 5, 5, 5])


def test_the_centre_of_a_cell_is_its_middle_and_for_plus_its_corner() -> None:
    none = np.zeros((1, 4), np.float32)
    cell = np.array([53], np.int64)  # second row, second column
    assert grids(416, 416)[0].boxes(cell, none).tolist() == [[12, 12, 12, 12]]
    assert grids(416, 416, centre=0.0)[0].boxes(cell, none).tolist() == [[8, 8, 8, 8]]
