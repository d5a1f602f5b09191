"""What the detectors say about whole images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from retinue_onnx.imagenet import imagenet
from retinue_onnx.labels import OnnxLabelDetector, OnnxLabelOptions
from retinue_onnx.moderation import OnnxModerationDetector
from retinue_sdk import ConfigurationError, Detection, Findings, Image

Photograph = Callable[[str], Image]
UserModel = Callable[..., Path]


def found(detector: OnnxLabelDetector | OnnxModerationDetector, image: Image) -> list[Detection]:
    (result,) = detector.detect([image])
    assert isinstance(result, Findings)
    return list(result.detections)


LABELS = [
    ("camera.png", ["tripod"]),
    ("chelsea.png", ["animal", "cat", "Egyptian cat"]),
    ("coffee.png", ["cup", "espresso"]),
    ("motorcycle_left.png", ["motorcycle", "moped"]),
    ("page.png", []),
    ("brick.png", []),
]
"""Labels that a person finds right, and images of which it should say nothing."""


@pytest.mark.parametrize(("name", "expected"), LABELS)
def test_labels_are_right(
    labels: OnnxLabelDetector, photograph: Photograph, name: str, expected: list[str]
) -> None:
    *whole, embedding = found(labels, photograph(name))
    assert [detection.label for detection in whole] == expected
    assert all(d.kind == "label" and d.box is None for d in whole)
    assert embedding.kind == "embedding"


def test_a_class_names_its_groups_as_rekognition_does(
    labels: OnnxLabelDetector, photograph: Photograph
) -> None:
    by_label = {d.label: d for d in found(labels, photograph("chelsea.png"))}
    assert by_label["Egyptian cat"].attributes == {"Parents": [{"Name": "cat"}, {"Name": "animal"}]}
    assert by_label["animal"].attributes == {}
    assert by_label["Egyptian cat"].confidence < by_label["cat"].confidence


def test_similar_images_have_similar_vectors(
    labels: OnnxLabelDetector, photograph: Photograph, photograph_path: Callable[[str], Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    cat = Pillow.open(photograph_path("chelsea.png"))
    cat.crop((40, 20, 440, 280)).transpose(Pillow.Transpose.FLIP_LEFT_RIGHT).save(
        tmp_path / "c.jpg"
    )
    images = [
        photograph("chelsea.png"),
        Image.from_file(tmp_path / "c.jpg"),
        photograph("coffee.png"),
    ]
    vectors = np.array([found(labels, image)[-1].attributes["vector"] for image in images])
    assert vectors.shape == (3, 1_280)
    first, same, other = vectors @ vectors[0]
    assert first == pytest.approx(1, abs=1e-3)
    assert same > 0.8 > 0.5 > other


def test_groups_can_be_left_out(photograph: Photograph) -> None:
    detector = OnnxLabelDetector(OnnxLabelOptions(groups=False, threshold=0.01, max_labels=3))
    detector.start()
    names = [d.label for d in found(detector, photograph("chelsea.png"))]
    assert names[0] == "Egyptian cat"
    assert sorted(names) == ["Egyptian cat", "tabby", "tiger cat"]


def test_groups_are_of_known_classes_and_no_group_hides_another_class() -> None:
    known = imagenet()
    assert len(known.names) == len(set(known.names)) == 1_000
    for name in set(known.groups) & set(known.names):
        assert known.names.index(name) in known.groups[name]
    assert known.parents["Egyptian cat"] == ("cat", "animal")
    assert known.parents["pizza"] == ()


@pytest.mark.parametrize("name", ["astronaut.png", "chelsea.png", "grace_hopper.jpg", "china.jpg"])
def test_harmless_photographs_are_safe(
    moderation: OnnxModerationDetector, photograph: Photograph, name: str
) -> None:
    (explicit,) = found(moderation, photograph(name))
    assert (explicit.kind, explicit.label) == ("moderation", "Explicit")
    assert explicit.attributes == {"ParentName": "", "TaxonomyLevel": 1}
    assert explicit.confidence < 0.1


def test_another_network_is_refused(user_model: UserModel) -> None:
    outputs = {"probabilities": np.zeros((1, 2), np.float32), "features": np.zeros((1, 9))}
    path = user_model(outputs, shape=(1, 3, 224, 224))
    with pytest.raises(ConfigurationError, match=r"not EfficientNet-lite0's.* \(N, 1000\)"):
        OnnxLabelDetector(OnnxLabelOptions(model=path)).start()
