"""Manifests in the forms that SageMaker Ground Truth writes: read, learned from, written again.

The forms are those of
https://docs.aws.amazon.com/rekognition/latest/customlabels-dg/md-create-manifest-file.html and
https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html
"""

import json
from pathlib import Path
from typing import Any

import pytest
from retinue_cli.data.ground_truth import AnnotatedImage, Annotations, Problems
from retinue_cli.training.data import from_annotations, has_boxes, manifest

FILES = Path(__file__).parent / "manifests"


def read(name: str) -> dict[str, AnnotatedImage]:
    problems = Problems()
    annotations = Annotations.read(FILES / name, problems)
    assert not problems, problems
    return {str(image.uri): image for image in annotations.images}


def found(image: AnnotatedImage) -> list[tuple[str, float, Any]]:
    return [(one.label, one.confidence, one.bbox_px) for one in image.annotations]


def rewritten(name: str) -> list[dict[str, Any]]:
    annotations = Annotations.read(FILES / name, Problems())
    images = from_annotations(annotations, None)
    return [json.loads(line) for line in manifest(images, boxes=has_boxes(images))]


def test_boxes() -> None:
    images = read("boxes.manifest")
    odd = images["s3://photos/yard/a photo + 1%20.jpg"]
    assert odd.name == "yard/a photo + 1%20.jpg"
    assert found(odd) == [
        ("pallet", 0.94, (10, 10, 30, 20)),
        ("fork lift", 1, (50, 5, 50, 75)),
    ]
    assert found(images["s3://photos/yard/ünïcode/日本.png"]) == []
    assert found(images["s3://photos/yard/empty.jpg"]) == []
    assert {image.size_px for image in images.values()} == {(100, 80)}


def test_one_label_an_image() -> None:
    assert [found(image) for image in read("single_label.manifest").values()] == [
        [("fog", 0.95, None)],
        [("sun", 1, None)],
    ]


def test_several_labels_an_image_in_one_attribute_or_in_several() -> None:
    assert [found(image) for image in read("several_labels.manifest").values()] == [
        [("football", 0.95, None), ("stadium", 0.7, None)],
        [("stadium", 1, None)],
        [("Sunrise", 1, None), ("Mountain", 1, None)],
    ]


def test_boxes_that_people_adjusted_replace_those_of_the_machine() -> None:
    adjusted, machine = read("adjusted.manifest").values()
    assert found(adjusted) == [("pallet", 1, (10, 10, 30, 20))]
    assert adjusted.is_human
    assert found(machine) == [("pallet", 0.41, (1, 1, 9, 9))]
    assert not machine.is_human


def test_what_no_person_made_is_written_so() -> None:
    adjusted, machine = (one["bounding-box-metadata"] for one in rewritten("adjusted.manifest"))
    assert (adjusted["human-annotated"], adjusted["objects"]) == ("yes", [{"confidence": 1}])
    assert (machine["human-annotated"], machine["objects"]) == ("no", [{"confidence": 0.41}])


@pytest.mark.parametrize("name", [path.name for path in sorted(FILES.iterdir())])
def test_what_is_written_says_the_same_as_what_was_read(name: str, tmp_path: Path) -> None:
    before = read(name)
    path = tmp_path / "again.manifest"
    path.write_text("\n".join(json.dumps(line) for line in rewritten(name)), "utf-8")
    problems = Problems()
    after = {str(one.uri): one for one in Annotations.read(path, problems).images}
    assert not problems
    assert after.keys() == before.keys()
    for uri, image in after.items():
        assert sorted(found(image), key=str) == sorted(found(before[uri]), key=str)
        assert image.is_human == before[uri].is_human


@pytest.mark.parametrize("name", [path.name for path in sorted(FILES.iterdir())])
def test_every_key_that_custom_labels_wants_is_written(name: str) -> None:
    for line in rewritten(name):
        assert line["source-ref"].startswith("s3://")
        attributes = [key for key in line if f"{key}-metadata" in line]
        assert attributes
        for key in attributes:
            metadata = line[f"{key}-metadata"]
            wanted = {"human-annotated", "creation-date", "job-name", "type"}
            if metadata["type"] == "groundtruth/object-detection":
                wanted |= {"objects", "class-map"}
                assert len(metadata["objects"]) == len(line[key]["annotations"])
                used = {str(one["class_id"]) for one in line[key]["annotations"]}
                assert metadata["class-map"].keys() == used
            else:
                wanted |= {"confidence", "class-name"}
            assert metadata.keys() == wanted


def test_a_manifest_whose_first_line_lacks_its_image_is_read(tmp_path: Path) -> None:
    lines = [
        json.loads(line) for line in (FILES / "boxes.manifest").read_text("utf-8").splitlines()
    ]
    del lines[0]["source-ref"]
    path = tmp_path / "first.manifest"
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    problems = Problems()
    Annotations.read(path, problems)
    assert problems.counts == {"line whose source-ref isn't s3://bucket/key": 1}
