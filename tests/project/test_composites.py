"""The composites on which detectors of logos are trained in the tutorial."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tools.composites import composites
from tools.logos import TEST_PHOTOGRAPHS, write_parts

GREY = {f"{number}.png": Image.new("RGB", (300 + 40 * number, 240), "grey") for number in range(9)}


def disc(colour: str) -> Image.Image:
    logo = Image.new("RGBA", (90, 60))
    ImageDraw.Draw(logo).ellipse((5, 5, 85, 55), colour)
    return logo


LOGOS = {"red": disc("red"), "blue": disc("blue")}


def test_boxes_are_where_the_logos_are() -> None:
    made = list(composites(GREY, LOGOS, [disc("lime")], per_logo=8, seed=3))
    assert sorted(label for one in made for label, _ in one.boxes) == ["blue"] * 8 + ["red"] * 8
    assert any(not one.boxes for one in made)
    limes = 0
    for one in made:
        pixels = np.asarray(Image.open(io.BytesIO(one.jpeg)), int)
        others = pixels.sum(axis=2)
        for channel, label in enumerate(["red", "lime", "blue"]):
            shown = 2 * pixels[..., channel] - others > -20
            ys, xs = np.nonzero(shown)
            boxes = [box for name, box in one.boxes if name == label]
            limes += label == "lime" and len(xs) > 0
            if label != "lime":
                assert len(boxes) == (len(xs) > 0)
            for left, top, width, height in boxes:
                edges = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                assert np.abs(np.subtract(edges, [left, top, left + width, top + height])).max() < 5
    assert 0 < limes < len(made)


def test_parts_share_no_photograph_and_are_the_same_each_time(tmp_path: Path) -> None:
    numbers = write_parts(tmp_path / "one", GREY, LOGOS, LOGOS, per_logo=6, seed=1)
    assert numbers == write_parts(tmp_path / "two", GREY, LOGOS, LOGOS, per_logo=6, seed=1)
    shown = {}
    for part, number in numbers.items():
        coco = json.loads((tmp_path / "one" / f"{part}.json").read_text())
        assert len(coco["images"]) == number
        shown[part] = {Path(one["file_name"]).stem.split("-")[1] for one in coco["images"]}
    assert len(shown["test"]) == TEST_PHOTOGRAPHS
    assert not shown["test"] & shown["train"]
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*")]
    assert len(files) == sum(numbers.values()) + 2
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
