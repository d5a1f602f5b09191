"""Boxes lie where they should, to the pixel, however a picture is turned and whatever its size."""

import io
from contextlib import closing
from itertools import product
from typing import Any

import pytest
from console.conftest import NOON, Add
from PIL import Image
from playwright.sync_api import Page, Route, expect
from retinue_history import ConnectionPool, DetectionRecord, History, RunKey, RunRecord

BOX = (0.25, 0.2, 0.5, 0.4)
SIZES = ((400, 200), (200, 400), (1_900, 1_000))
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a picture is stored that is shown upright by each EXIF orientation."""

MEASURE = """() => [...document.querySelectorAll(".boxes rect[width='0.5']")].map(rect => {
    const to = rect.getScreenCTM();
    const frame = rect.closest(".thumbnail, .stage").getBoundingClientRect();
    const at = (x, y) => { const p = new DOMPoint(x, y).matrixTransform(to); return [p.x, p.y]; };
    const [left, top] = at(0.25, 0.2), [right, bottom] = at(0.75, 0.6);
    return {box: [left, top, Math.min(right, frame.right), Math.min(bottom, frame.bottom)],
        frame: [frame.left, frame.top, frame.right, frame.bottom]};
})"""


def upright(size: tuple[int, int], orientation: int) -> bytes:
    """A white picture that is red in the box."""
    image = Image.new("RGB", size, "white")
    left, top, width, height = BOX
    corner = (round(left * size[0]), round(top * size[1]))
    end = (round((left + width) * size[0]), round((top + height) * size[1]))
    image.paste("red", (*corner, *end))
    transposed = STORED[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    (image if transposed is None else image.transpose(transposed)).save(
        file, "JPEG", quality=95, exif=exif
    )
    return file.getvalue()


@pytest.fixture
def images(add: Add, console_url: str) -> list[Any]:
    """An image of each orientation and size; of every other one the size isn't known."""
    made = []
    for number, (orientation, size) in enumerate(product(STORED, SIZES)):
        known = size if number % 2 else None
        made.append(add(f"{orientation} {size[0]}.jpg", upright(size, orientation), known))
    runs = [
        RunRecord(
            RunKey(one, "boxes", "1", "f"),
            "event",
            outcome="succeeded",
            retryable=False,
            started_at=NOON,
            duration_ms=1.0,
            detections=(DetectionRecord("object", "red", 0.9, BOX),),
        )
        for one in made
    ]
    pool = ConnectionPool(console_url, application_name="test")
    History(pool).record([], runs)
    pool.close()
    return made


def check(page: Page, expected: int) -> None:
    """Compare the boxes of a page with the red areas of its screenshot."""
    page.evaluate(
        "() => Promise.all([...document.querySelectorAll('.thumbnail img, .stage img')]"
        ".map(img => img.decode()))"
    )
    measured = page.evaluate(MEASURE)
    assert len(measured) == expected
    page.evaluate("() => document.querySelectorAll('svg.boxes').forEach(svg => svg.remove())")
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    red = shot.point(lambda value: 255 if value > 128 else 0)
    for one in measured:
        frame = red.crop([round(value) for value in one["frame"]])
        is_red = Image.eval(frame.getchannel("G"), lambda value: 255 - value)
        is_red.paste(0, mask=Image.eval(frame.getchannel("R"), lambda value: 255 - value))
        found = is_red.getbbox()
        assert found is not None
        left, top = (round(value) for value in one["frame"][:2])
        place = (found[0] + left, found[1] + top, found[2] + left, found[3] + top)
        assert place == pytest.approx(tuple(one["box"]), abs=1.5)


def test_boxes_lie_on_what_they_mark(page: Page, address: str, images: list[Any]) -> None:
    page.set_viewport_size({"width": 1_280, "height": 1_600})
    page.goto(f"{address}/images?detector=boxes", wait_until="networkidle")
    check(page, len(images))
    for number in (*range(0, len(images), 2), 1, 3, 5):
        page.goto(f"{address}/images/{images[number]}", wait_until="networkidle")
        check(page, 1)


def test_a_picture_takes_its_space_before_it_is_loaded(
    page: Page, address: str, images: list[Any]
) -> None:
    held: list[Route] = []
    page.route("**/pictures/*/view", lambda route: held.append(route))
    with page.expect_request("**/pictures/*/view"):
        page.goto(f"{address}/images/{images[1]}", wait_until="domcontentloaded")
    picture = page.locator(".stage .picture")
    before = picture.bounding_box()
    held[0].continue_()
    page.locator(".stage img").evaluate("img => img.decode()")
    assert before is not None
    assert before["height"] > 100
    assert picture.bounding_box() == before


def test_the_list_and_the_boxes_are_linked(page: Page, address: str, images: list[Any]) -> None:
    page.goto(f"{address}/images/{images[0]}")
    page.locator(".detections li").hover()
    expect(page.locator(".boxes a.marked")).to_have_count(1)
    page.locator("h1").hover()
    expect(page.locator(".marked")).to_have_count(0)
    page.locator(".boxes a").focus()
    expect(page.locator(".detections li.marked")).to_have_count(1)
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.detections li:target') !== null")


def test_a_box_within_another_is_reached_with_the_pointer(
    page: Page, address: str, add: Add, console_url: str
) -> None:
    image = add("nested.jpg", upright(SIZES[0], 1), SIZES[0])
    boxes = {"face": (0.4, 0.4, 0.2, 0.2), "person": BOX}
    found = tuple(DetectionRecord("object", label, 0.9, box) for label, box in boxes.items())
    key = RunKey(image, "boxes", "1", "f")
    run = RunRecord(
        key,
        "event",
        outcome="succeeded",
        retryable=False,
        started_at=NOON,
        duration_ms=1.0,
        detections=found,
    )
    with closing(ConnectionPool(console_url, application_name="test")) as pool:
        History(pool).record([], [run])
    for path in (f"images/{image}", f"review/corrections?image={image}"):
        page.goto(f"{address}/{path}", wait_until="networkidle")
        area = page.locator(".stage img").bounding_box()
        assert area is not None
        marked = page.locator(".detections li.marked, #items .selected")
        for x, label in ((0.3, "person"), (0.5, "face"), (0.3, "person"), (0.5, "face")):
            place = (area["x"] + x * area["width"], area["y"] + 0.5 * area["height"])
            page.mouse.move(*place)
            if path.startswith("review"):
                page.mouse.click(*place)
            expect(marked.locator("bdi").first).to_have_text(label)


def test_a_finding_that_is_chosen_in_a_zoomed_picture_is_seen(
    page: Page, address: str, add: Add, console_url: str
) -> None:
    image = add("far.jpg", upright(SIZES[0], 1), SIZES[0])
    boxes = [(0.0, 0.0, 0.02, 0.02), (0.9, 0.9, 0.05, 0.05)]
    found = tuple(DetectionRecord("object", str(box[0]), 0.9, box) for box in boxes)
    run = RunRecord(
        RunKey(image, "boxes", "1", "f"),
        "event",
        outcome="succeeded",
        retryable=False,
        started_at=NOON,
        duration_ms=1.0,
        detections=found,
    )
    with closing(ConnectionPool(console_url, application_name="test")) as pool:
        History(pool).record([], [run])
    page.goto(f"{address}/review/corrections?image={image}", wait_until="networkidle")
    for key in ("+", "+", "+", "ArrowDown", "ArrowDown", "a"):
        page.keyboard.press(key)
        stage, box = (
            page.locator(selector).bounding_box() for selector in ("#stage", "#boxes .selected")
        )
        assert stage is not None
        assert box is not None
        assert stage["x"] - 3 <= box["x"] <= stage["x"] + stage["width"]
        assert stage["y"] - 3 <= box["y"] <= stage["y"] + stage["height"]


RECT = ("x", "y", "width", "height")

REACH = """() => {
    const stage = document.getElementById("stage"), picture = document.getElementById("picture");
    const [frame, begin] = [stage, picture].map(one => one.getBoundingClientRect());
    stage.scrollTo(1e6, 1e6);
    const end = picture.getBoundingClientRect();
    stage.scrollTo(0, 0);
    return {aspect: begin.width / begin.height, sees_all:
        begin.left >= frame.left - 1 && begin.top >= frame.top - 1 &&
        end.right <= frame.right + 1 && end.bottom <= frame.bottom + 1};
}"""


@pytest.mark.parametrize("viewport", [(1280, 860), (360, 740)])
def test_a_zoomed_picture_keeps_its_shape_and_is_seen_to_all_its_edges(
    page: Page, address: str, add: Add, viewport: tuple[int, int]
) -> None:
    page.set_viewport_size({"width": viewport[0], "height": viewport[1]})
    for size, known in product(SIZES[:2], (True, False)):
        image = add(f"zoom {size[0]} {known}.jpg", upright(size, 6), size if known else None)
        page.goto(f"{address}/review/corrections?image={image}")
        page.locator("#picture").evaluate("img => img.decode()")
        expect(page.locator("#review")).not_to_have_attribute("inert", "")
        for _ in range(4):
            seen = page.evaluate(REACH)
            assert seen["aspect"] == pytest.approx(size[0] / size[1], rel=0.01)
            assert seen["sees_all"]
            page.keyboard.press("+")
        page.keyboard.press("n")
        area = page.locator("#picture").bounding_box()
        assert area is not None
        page.mouse.move(area["x"] + 1, area["y"] + 1)
        page.mouse.down()
        page.mouse.move(area["x"] + 101, area["y"] + 51, steps=3)
        page.mouse.up()
        drawn = page.locator("#boxes rect.add")
        ratios = [float(drawn.get_attribute(name) or "nan") for name in RECT]
        place = [ratio * area[side] for ratio, side in zip(ratios, RECT[2:] * 2, strict=True)]
        assert place == pytest.approx([1, 1, 100, 50], abs=1)
