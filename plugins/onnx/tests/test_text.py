"""``onnx-text`` reads what was drawn, and what was photographed."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from retinue_onnx.regions import regions, smallest_rectangle
from retinue_onnx.text import OnnxTextDetector
from retinue_onnx.text_reading import HEIGHT_PX, Reading, cut_out, words_of
from retinue_sdk import BoundingBox, Detection, Findings, Image
from skimage.measure import label

Photograph = Callable[[str], Image]

LINES = [
    ("The quick brown fox jumps", "DejaVuSans.ttf", 40),
    ("over the lazy dog, 1234.56 EUR", "DejaVuSerif-Italic.ttf", 32),
    ("SALE -50 % today", "DejaVuSans-Bold.ttf", 36),
    ("small print: see page 12 for the terms", "DejaVuSans.ttf", 16),
]


def drawn() -> Pillow.Image:
    picture = Pillow.new("RGB", (800, 60 + 80 * len(LINES)), (235, 230, 210))
    for number, (words, font, size) in enumerate(LINES):
        place = (40, 40 + 80 * number)
        # matplotlib, which is installed for its photographs, has these fonts.
        ImageDraw.Draw(picture).text(place, words, "black", ImageFont.truetype(fonts(font), size))
    return picture


def fonts(name: str) -> str:
    from matplotlib import get_data_path

    return f"{get_data_path()}/fonts/ttf/{name}"


def found(detector: OnnxTextDetector, picture: Pillow.Image | Image) -> list[Detection]:
    if isinstance(picture, Pillow.Image):
        file = BytesIO()
        picture.save(file, "PNG")
        picture = Image.from_bytes(file.getvalue())
    (result,) = detector.detect([picture])
    assert isinstance(result, Findings)
    return list(result.detections)


def of_type(detections: list[Detection], kind: str) -> list[str]:
    return [d.label for d in detections if d.attributes["Type"] == kind]


def test_drawn_lines_are_read_with_their_words(text: OnnxTextDetector) -> None:
    detections = found(text, drawn())
    assert of_type(detections, "LINE") == [words for words, *_ in LINES]
    assert of_type(detections, "WORD") == " ".join(words for words, *_ in LINES).split()
    assert {d.kind for d in detections} == {"text"}


def test_attributes_are_those_of_rekognition(text: OnnxTextDetector) -> None:
    detections = found(text, drawn())
    assert [d.attributes["Id"] for d in detections] == list(range(len(detections)))
    by_id = {d.attributes["Id"]: d for d in detections}
    word = next(d for d in detections if d.label == "lazy")
    line = by_id[word.attributes["ParentId"]]
    assert line.label == "over the lazy dog, 1234.56 EUR"
    assert "ParentId" not in line.attributes
    assert word.box is not None
    left = ImageFont.truetype(fonts(LINES[1][1]), 32).getlength("over the ") + 40
    width = ImageFont.truetype(fonts(LINES[1][1]), 32).getlength("lazy")
    assert word.box.iou(BoundingBox(left / 800, 118 / 380, width / 800, 42 / 380)) > 0.5
    polygon = word.attributes["Geometry"]["Polygon"]
    assert [set(corner) for corner in polygon] == [{"X", "Y"}] * 4
    assert min(corner["X"] for corner in polygon) == pytest.approx(word.box.left, abs=1e-5)


@pytest.mark.parametrize("degrees", [-25, 20, 90, 180])
def test_turned_lines_are_read(text: OnnxTextDetector, degrees: int) -> None:
    turned = drawn().rotate(degrees, expand=True, fillcolor=(235, 230, 210))
    lines = {line.replace(" ", "") for line in of_type(found(text, turned), "LINE")}
    assert {words.replace(" ", "") for words, *_ in LINES[:3:2]} <= lines


def test_a_photographed_page_is_read(text: OnnxTextDetector, photograph: Photograph) -> None:
    lines = of_type(found(text, photograph("page.png")), "LINE")
    assert "Region-based segmentation" in lines
    assert "unambiguously as either object or background. Here," in lines


@pytest.mark.parametrize("name", ["brick.png", "chelsea.png", "coffee.png", "china.jpg"])
def test_no_text_is_read_where_there_is_none(
    text: OnnxTextDetector, photograph: Photograph, name: str
) -> None:
    assert found(text, photograph(name)) == []


@settings(deadline=None)  # the first call loads SciPy
@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_regions_are_those_of_scikit_image(mask: np.ndarray) -> None:
    found = regions(mask)
    values = np.arange(mask.size, dtype=np.float32).reshape(mask.shape)
    numbered = np.zeros(mask.shape, int)
    for number, region in enumerate(found, start=1):
        for row, start, end in zip(region.rows, region.starts, region.ends, strict=True):
            numbered[row, start:end] = number
    assert (numbered == label(mask, connectivity=2)).all()
    for number, region in enumerate(found, start=1):
        rows, columns = np.nonzero(numbered == number)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert (region.area, region.box) == (len(rows), box)
        assert region.sum_of(values) == values[rows, columns].sum()


@given(
    st.floats(-44, 44), st.floats(6, 60), st.floats(2, 5), st.floats(-90, 90), st.floats(-90, 90)
)
def test_the_smallest_rectangle_is_the_one_that_was_turned(
    degrees: float, width: float, height: float, x: float, y: float
) -> None:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    straight = np.array([[0, 0], [width, 0], [width, height], [0, height], [width / 2, 1]])
    points = (straight @ turn + (x, y)).astype(np.float32)
    rectangle = smallest_rectangle(points)
    assert rectangle.corners() == pytest.approx(points[:4], abs=0.01)


@given(
    st.floats(-200, 300), st.floats(-200, 300), st.floats(0.5, 300), st.floats(0.5, 300),
    st.floats(-180, 180),
)  # fmt: skip
def test_lines_that_are_partly_outside_can_be_cut_out(
    x: float, y: float, width: float, height: float, degrees: float
) -> None:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ turn + (x, y)
    line = cut_out(np.full((90, 120, 3), 200, np.uint8), corners.astype(np.float32))
    assert line.shape[::2] == (HEIGHT_PX, 3)
    assert line.shape[1] >= 1


def test_level_lines_are_cut_out_as_tilted_ones() -> None:
    """The limit is between a fall of 2.4 and 2.6 pixels, and half of it is neglected."""
    pixels = np.add.outer(np.arange(90), np.arange(120)).repeat(3).reshape(90, 120, 3)

    def cut(fall: float) -> np.ndarray:
        corners = [[10, 20], [110, 20 + fall], [110, 50 + fall], [10, 50]]
        return cut_out(pixels.astype(np.uint8), np.array(corners, np.float32)).astype(int)

    assert np.abs(cut(2.4) - cut(2.6)).mean() < 1.2


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=9))
def test_the_smallest_rectangle_contains_all_points(points: list[tuple[int, int]]) -> None:
    array = np.array(points, np.float32)
    rectangle = smallest_rectangle(array)
    across = (array - rectangle.centre) @ rectangle.along
    down = (array - rectangle.centre) @ np.array((-rectangle.along[1], rectangle.along[0]))
    assert np.abs(across).max() <= rectangle.width / 2 + 1e-3
    assert np.abs(down).max() <= rectangle.height / 2 + 1e-3
    assert rectangle.width * rectangle.height <= np.prod(np.ptp(array, axis=0)) + 1e-3


def test_words_end_in_the_middle_of_spaces() -> None:
    letters = [Reading(c, 0.5, i / 10, (i + 1) / 10) for i, c in enumerate("ab  cd e")]
    assert [(w.text, round(w.start, 2), round(w.end, 2)) for w in words_of(letters)] == [
        ("ab", 0.0, 0.25), ("cd", 0.35, 0.65), ("e", 0.65, 1.0)
    ]  # fmt: skip
