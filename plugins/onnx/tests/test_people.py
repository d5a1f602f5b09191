"""``onnx-segments`` and ``onnx-pose`` find people where a person sees them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from retinue_onnx.poses import KEYPOINTS, OnnxPoseDetector
from retinue_onnx.segments import OnnxSegmentDetector
from retinue_sdk import BoundingBox, Findings, Image
from retinue_sdk.masks import decode_mask

Photograph = Callable[[str], Image]

PEOPLE = [
    ("astronaut.png", BoundingBox(0.05, 0.03, 0.66, 0.97), (0.43, 0.23)),
    ("camera.png", BoundingBox(0.02, 0.13, 0.62, 0.87), (0.47, 0.30)),
    ("grace_hopper.jpg", BoundingBox(0.02, 0.04, 0.98, 0.96), (0.52, 0.40)),
]
"""Photographs with one person, the box and the nose."""


@pytest.mark.parametrize(("name", "box", "nose"), PEOPLE)
def test_the_pixels_of_people_are_found(
    segments: OnnxSegmentDetector, photograph: Photograph, name: str, box: BoundingBox,
    nose: tuple[float, float],
) -> None:  # fmt: skip
    (result,) = segments.detect([photograph(name)])
    assert isinstance(result, Findings)
    (person,) = result.detections
    assert (person.kind, person.label) == ("segment", "person")
    assert person.box is not None
    assert person.box.iou(box) > 0.6
    mask = decode_mask(person.attributes["mask"])
    height, width = mask.shape
    assert mask[int(nose[1] * height), int(nose[0] * width)]
    assert not mask[0, 0]
    assert mask.mean() == pytest.approx(person.attributes["area"], abs=1e-3)
    rows, columns = np.nonzero(mask)
    assert (columns.min() / width, rows.min() / height) == (person.box.left, person.box.top)


@pytest.mark.parametrize(("name", "box", "nose"), PEOPLE)
def test_the_points_of_people_are_found(
    poses: OnnxPoseDetector, photograph: Photograph, name: str, box: BoundingBox,
    nose: tuple[float, float],
) -> None:  # fmt: skip
    (result,) = poses.detect([photograph(name)])
    assert isinstance(result, Findings)
    (person,) = result.detections
    assert (person.kind, person.label) == ("pose", "person")
    assert person.box is not None
    assert person.box.iou(box) > 0.7
    points = {point["type"]: point for point in person.attributes["keypoints"]}
    assert tuple(points) == KEYPOINTS
    assert (points["nose"]["x"], points["nose"]["y"]) == pytest.approx(nose, abs=0.05)
    assert points["left_shoulder"]["x"] > points["right_shoulder"]["x"]
    assert points["nose"]["y"] < points["left_shoulder"]["y"]


def test_two_people_beside_each_other(
    poses: OnnxPoseDetector,
    segments: OnnxSegmentDetector,
    photograph: Photograph,
    tmp_path: Path,
) -> None:
    one = photograph("astronaut.png").pixels()
    gap = np.full((len(one), 100, 3), 255, np.uint8)
    pair = np.concatenate([one[:, :370], gap, one[:, :370]], axis=1)
    Pillow.fromarray(pair).save(tmp_path / "pair.png")
    for detector in (poses, segments):
        (result,) = detector.detect([Image.from_file(tmp_path / "pair.png")])
        assert isinstance(result, Findings)
        lefts = sorted(d.box.left for d in result.detections if d.box is not None)
        assert len(lefts) == 2
        assert lefts[0] < 0.2 < 0.5 < lefts[1]


@pytest.mark.parametrize("name", ["chelsea.png", "coffee.png", "motorcycle_left.png", "china.jpg"])
def test_no_one_is_seen_where_no_one_is(
    poses: OnnxPoseDetector, photograph: Photograph, name: str
) -> None:
    (result,) = poses.detect([photograph(name)])
    assert isinstance(result, Findings)
    assert result.detections == ()
