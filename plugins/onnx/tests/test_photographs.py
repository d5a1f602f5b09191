"""What the bundled networks find; the expected boxes were estimated by eye."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image as PillowImage
from retinue_onnx.faces import OnnxFaceDetector
from retinue_onnx.objects import ObjectDetector, ObjectOptions
from retinue_sdk import BoundingBox, Detection, Findings, Image

Photograph = Callable[[str], Image]

EVERY = ["objects", "faces", "labels", "moderation", "text", "segments", "poses"]
"""Fixtures."""


def found(detector: ObjectDetector | OnnxFaceDetector, image: Image) -> tuple[Detection, ...]:
    (result,) = detector.detect([image])
    assert isinstance(result, Findings)
    return result.detections


def best(detections: tuple[Detection, ...], label: str) -> Detection:
    return next(detection for detection in detections if detection.label == label)


OBJECTS = [
    ("astronaut.png", "person", BoundingBox(0.03, 0.03, 0.68, 0.97)),
    ("chelsea.png", "cat", BoundingBox(0.0, 0.0, 0.88, 1.0)),
    ("coffee.png", "dining table", BoundingBox(0.0, 0.0, 1.0, 1.0)),
    ("motorcycle_left.png", "motorcycle", BoundingBox(0.13, 0.17, 0.79, 0.73)),
    ("camera.png", "person", BoundingBox(0.0, 0.13, 0.60, 0.87)),
    ("horse.png", "horse", BoundingBox(0.045, 0.025, 0.925, 0.93)),
    ("grace_hopper.jpg", "person", BoundingBox(0.05, 0.03, 0.95, 0.97)),
    ("grace_hopper.jpg", "tie", BoundingBox(0.44, 0.70, 0.13, 0.20)),
]

FACES = [
    ("astronaut.png", BoundingBox(0.35, 0.12, 0.18, 0.23)),
    ("camera.png", BoundingBox(0.39, 0.22, 0.12, 0.17)),
    ("grace_hopper.jpg", BoundingBox(0.33, 0.21, 0.38, 0.36)),
]


@pytest.mark.parametrize(("name", "label", "box"), OBJECTS)
def test_objects_are_found_where_a_person_sees_them(
    objects: ObjectDetector, photograph: Photograph, name: str, label: str, box: BoundingBox
) -> None:
    detection = best(found(objects, photograph(name)), label)
    assert detection.kind == "label"
    assert detection.box is not None
    assert detection.box.iou(box) > 0.6


def test_a_lower_threshold_finds_the_cup(photograph: Photograph) -> None:
    detector = ObjectDetector(ObjectOptions(threshold=0.2))
    detector.start()
    cup = best(found(detector, photograph("coffee.png")), "cup")
    assert cup.box is not None
    assert cup.box.iou(BoundingBox(0.29, 0.04, 0.39, 0.70)) > 0.5


@pytest.mark.parametrize(("name", "box"), FACES)
def test_faces_are_found_with_their_landmarks(
    faces: OnnxFaceDetector, photograph: Photograph, name: str, box: BoundingBox
) -> None:
    (face,) = found(faces, photograph(name))
    assert (face.kind, face.label) == ("face", "Face")
    assert face.box is not None
    assert face.box.iou(box) > 0.6
    landmarks = face.attributes["landmarks"]
    assert isinstance(landmarks, list)
    at = {mark["type"]: (mark["x"], mark["y"]) for mark in landmarks}
    assert all(
        face.box.left < x < face.box.right and face.box.top < y < face.box.bottom
        for x, y in at.values()
    )
    assert at["eyeLeft"][0] < at["eyeRight"][0]
    assert at["mouthLeft"][0] < at["mouthRight"][0]
    assert at["eyeLeft"][1] < at["nose"][1] < at["mouthLeft"][1]


@pytest.mark.parametrize("name", ["chelsea.png", "coffee.png", "china.jpg", "flower.jpg"])
def test_no_face_is_seen_where_there_is_none(
    faces: OnnxFaceDetector, photograph: Photograph, name: str
) -> None:
    assert found(faces, photograph(name)) == ()


def test_findings_come_best_first_and_say_what_made_them(
    objects: ObjectDetector, photograph: Photograph
) -> None:
    (result,) = objects.detect([photograph("grace_hopper.jpg")])
    assert isinstance(result, Findings)
    confidences = [detection.confidence for detection in result.detections]
    assert confidences == sorted(confidences, reverse=True)
    assert result.raw_response == {
        "provider": "CPUExecutionProvider",
        "layout": "nanodet",
        "input": [416, 416],
    }
    assert result.model_version == objects.model_version == "nanodet-fe5ab669dad2"


@pytest.mark.parametrize("kind", ["objects", "faces"])
def test_a_batch_finds_what_single_images_do(
    request: pytest.FixtureRequest, photograph: Photograph, kind: str
) -> None:
    detector = request.getfixturevalue(kind)
    names = ["astronaut.png", "chelsea.png", "camera.png", "grace_hopper.jpg", "coffee.png"]
    together = detector.detect([photograph(name) for name in names])
    for name, result in zip(names, together, strict=True):
        (alone,) = detector.detect([photograph(name)])
        assert len(result.detections) == len(alone.detections)
        for one, other in zip(result.detections, alone.detections, strict=True):
            assert one.label == other.label
            assert one.confidence == pytest.approx(other.confidence, abs=1e-4)
            for edge in ("left", "top", "width", "height"):
                assert getattr(one.box, edge) == pytest.approx(getattr(other.box, edge), abs=1e-4)


@pytest.mark.parametrize("kind", ["objects", "faces", "labels", "moderation", "segments", "poses"])
def test_a_rotated_photograph_is_seen_upright(
    request: pytest.FixtureRequest, photograph_path: Callable[[str], Path], kind: str
) -> None:
    detector = request.getfixturevalue(kind)
    upright = PillowImage.open(photograph_path("astronaut.png")).convert("RGB")
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # orientation: to be turned clockwise for display
    file = BytesIO()
    upright.rotate(90).save(file, "PNG", exif=exif)
    rotated = found(detector, Image.from_bytes(file.getvalue()))
    file = BytesIO()
    upright.save(file, "PNG")
    assert rotated == found(detector, Image.from_bytes(file.getvalue()))
    assert rotated


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (31, 33), (3000, 2)])
def test_odd_sizes_are_looked_at(
    request: pytest.FixtureRequest, kind: str, size: tuple[int, int]
) -> None:
    detector = request.getfixturevalue(kind)
    file = BytesIO()
    PillowImage.new("RGB", size, "orange").save(file, "PNG")
    found(detector, Image.from_bytes(file.getvalue()))


@pytest.mark.parametrize("kind", ["objects", "faces"])
def test_a_broken_image_spoils_no_other(
    request: pytest.FixtureRequest, photograph: Photograph, kind: str
) -> None:
    detector = request.getfixturevalue(kind)
    broken = Image.from_bytes(b"this is no image")
    first, second, third = detector.detect(
        [photograph("astronaut.png"), broken, photograph("astronaut.png")]
    )
    assert second.code == "unsupported_format"
    assert first.detections == third.detections != ()


def test_pictures_are_read_only_and_stay_as_they_are(
    objects: ObjectDetector, photograph: Photograph
) -> None:
    image = photograph("astronaut.png")
    before = image.pixels().copy()
    found(objects, image)
    assert (image.pixels() == before).all()


def test_a_threshold_of_nothing_reports_thousands_without_harm(photograph: Photograph) -> None:
    detector = ObjectDetector(ObjectOptions(threshold=0))
    detector.start()
    assert len(found(detector, photograph("coffee.png"))) > 100
