"""Answers as findings: AWS's examples, the surprises, and whatever the model allows."""

import json
import math
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import pytest
from fakes.examples import examples
from hypothesis import HealthCheck, given, settings
from rekognition.answers import any_value, storable
from retinue_rekognition import convert
from retinue_rekognition_emulator.model import operation_model
from retinue_sdk import Findings


def _compared(response: dict[str, Any]) -> Findings:
    return convert.compared_faces(response, person="Ann")


def _searched(response: dict[str, Any]) -> Findings:
    face = {"BoundingBox": response.get("SearchedFaceBoundingBox")}
    matches = convert.items(response.get("FaceMatches"))
    return convert.searched_faces({"Search": response}, [(face, matches)], billed_units=2)


def _indexed(response: dict[str, Any]) -> Findings:
    records = convert.items(response.get("FaceRecords"))
    faces = [(record.get("FaceDetail") or {}, ()) for record in records]
    return convert.searched_faces({"IndexFaces": response}, faces, billed_units=1)


CONVERSIONS: dict[str, Callable[[dict[str, Any]], Findings]] = {
    "DetectLabels": convert.labels,
    "DetectFaces": convert.faces,
    "DetectModerationLabels": convert.moderation,
    "DetectText": convert.text,
    "RecognizeCelebrities": convert.celebrities,
    "DetectProtectiveEquipment": convert.protective_equipment,
    "DetectCustomLabels": convert.custom_labels,
    "CompareFaces": _compared,
    "SearchFaces": _searched,
    "SearchFacesByImage": _searched,
    "IndexFaces": _indexed,
}


def _examples() -> Iterator[Any]:
    path = resources.files("botocore") / "data/rekognition/2016-06-27/examples-1.json"
    for operation, known in json.loads(path.read_text("utf-8"))["examples"].items():
        if operation in CONVERSIONS:
            for example in known:
                yield pytest.param(operation, example["output"], id=operation)


@pytest.mark.parametrize(("operation", "response"), list(_examples()))
def test_official_examples_convert_whole(operation: str, response: dict[str, Any]) -> None:
    findings = CONVERSIONS[operation](response)
    storable(findings)
    assert findings.detections
    raw = findings.raw_response
    assert raw == response or response in raw.values()
    assert findings.model_version == response.get("FaceModelVersion")


def test_labels_and_their_instances() -> None:
    response = {
        "Labels": [
            {
                "Name": "Dog",
                "Confidence": 99.5,
                "Instances": [
                    {
                        "BoundingBox": {"Width": 0.5, "Height": 0.5, "Left": -0.01, "Top": 0.6},
                        "Confidence": 87.5,
                        "DominantColors": [{"HexCode": "#ffffff", "PixelPercent": 33.0}],
                    },
                    None,
                ],
                "Parents": [{"Name": "Animal"}],
                "Aliases": [{"Name": "Hound"}],
                "Categories": [{"Name": "Animals and Pets"}],
            },
            {"Name": "Beach", "Confidence": 100.0, "Instances": None, "Parents": []},
        ],
        "LabelModelVersion": "3.0",
        "ImageProperties": {"Quality": {"Sharpness": 140.5}},
    }
    findings = convert.labels(response)
    storable(findings)
    image_level, instance, beach, properties = findings.detections
    assert (image_level.label, image_level.confidence, image_level.box) == ("Dog", 0.995, None)
    assert (instance.label, instance.confidence) == ("Dog", 0.875)
    assert instance.box is not None
    assert (instance.box.left, instance.box.bottom) == (-0.01, 1.1)
    assert instance.attributes == {
        "Parents": [{"Name": "Animal"}],
        "Aliases": [{"Name": "Hound"}],
        "Categories": [{"Name": "Animals and Pets"}],
        "DominantColors": [{"HexCode": "#ffffff", "PixelPercent": 33.0}],
    }
    assert beach.attributes == {"Instances": None, "Parents": []}
    assert (properties.kind, properties.attributes) == (
        "image_properties",
        {"Quality": {"Sharpness": 140.5}},
    )
    assert findings.model_version == "3.0"
    assert findings.raw_response == response
    assert findings.billed_units == 1


def test_a_face_keeps_everything_and_repeated_landmarks() -> None:
    face = {
        "BoundingBox": {"Width": 0.1, "Height": 0.2, "Left": 0.3, "Top": 0.4},
        "Confidence": 99.99,
        "AgeRange": {"Low": 20, "High": 30},
        "Landmarks": [{"Type": "eyeRight", "X": 0.1, "Y": 0.2}] * 2,
        "Quality": {"Sharpness": 160.0, "Brightness": 29.2},
        "SomethingNew": {"Value": None},
    }
    [found] = convert.faces({"FaceDetails": [face]}).detections
    assert (found.kind, found.label) == ("face", "Face")
    expected = {k: v for k, v in face.items() if k not in {"BoundingBox", "Confidence"}}
    assert found.attributes == expected
    assert convert.faces({"FaceDetails": [face]}).model_version is None


def test_moderation_text_celebrities_equipment() -> None:
    [alcohol, drawn] = convert.moderation(
        {
            "ModerationLabels": [
                {"Name": "Alcohol", "ParentName": "", "TaxonomyLevel": 1, "Confidence": 90}
            ],
            "ContentTypes": [{"Name": "Illustrated", "Confidence": 80.0}],
            "ModerationModelVersion": "7.0",
        }
    ).detections
    assert alcohol.attributes == {"ParentName": "", "TaxonomyLevel": 1}
    assert (drawn.kind, drawn.confidence) == ("content_type", 0.8)

    long_text = "é" * 2_000
    line, word, empty = convert.text(
        {
            "TextDetections": [
                {"DetectedText": long_text, "Type": "LINE", "Id": 0, "Confidence": 99.0},
                {
                    "DetectedText": "a\0b\ud800",
                    "Type": "WORD",
                    "Id": 1,
                    "ParentId": 0,
                    "Confidence": 98.0,
                    "Geometry": {
                        "BoundingBox": {"Width": 0.1, "Height": 0.1, "Left": 0, "Top": 0},
                        "Polygon": [{"X": 0.0, "Y": 0.1}],
                    },
                },
                {"DetectedText": "", "Geometry": None},
            ]
        }
    ).detections
    assert len(line.label.encode()) == 2_048
    assert line.attributes["DetectedText"] == long_text
    assert word.label == "a\ufffdb\ufffd"
    assert word.box is not None
    assert word.attributes == {
        "Type": "WORD",
        "Id": 1,
        "ParentId": 0,
        "Geometry": {"Polygon": [{"X": 0.0, "Y": 0.1}]},
    }
    assert (empty.label, empty.confidence) == ("text", 0)
    assert empty.attributes == {"DetectedText": "", "Geometry": None}

    box = {"Width": 0.1, "Height": 0.1, "Left": 0.0, "Top": 0.0}
    known, other = convert.celebrities(
        {
            "CelebrityFaces": [
                {
                    "Name": "Ada",
                    "Id": "x1",
                    "Urls": ["u"],
                    "MatchConfidence": 75.0,
                    "Face": {"BoundingBox": box, "Confidence": 99.0},
                }
            ],
            "UnrecognizedFaces": [{"BoundingBox": box, "Confidence": 98.0}],
        }
    ).detections
    assert (known.kind, known.label, known.confidence) == ("celebrity", "Ada", 0.75)
    assert known.attributes == {"Id": "x1", "Urls": ["u"], "Face": {"Confidence": 99.0}}
    assert (other.kind, other.confidence) == ("face", 0.98)

    person, part, cover = convert.protective_equipment(
        {
            "ProtectiveEquipmentModelVersion": "1.0",
            "Persons": [
                {
                    "Id": 0,
                    "Confidence": 99.0,
                    "BoundingBox": box,
                    "BodyParts": [
                        {
                            "Name": "HEAD",
                            "Confidence": 97.0,
                            "EquipmentDetections": [
                                {
                                    "Type": "HEAD_COVER",
                                    "Confidence": 96.0,
                                    "BoundingBox": box,
                                    "CoversBodyPart": {"Value": True, "Confidence": 95.0},
                                }
                            ],
                        }
                    ],
                }
            ],
            "Summary": {"PersonsWithRequiredEquipment": [0], "PersonsIndeterminate": []},
        }
    ).detections
    assert person.attributes == {"Id": 0, "Summary": ["PersonsWithRequiredEquipment"]}
    assert (part.kind, part.label, part.box) == ("body_part", "HEAD", None)
    assert (cover.kind, cover.label) == ("protective_equipment", "HEAD_COVER")
    assert cover.attributes == {
        "PersonId": 0,
        "BodyPart": "HEAD",
        "CoversBodyPart": {"Value": True, "Confidence": 95.0},
    }


def test_matches_have_similarity_and_the_box_in_this_image() -> None:
    face = {"BoundingBox": {"Width": 0.1, "Height": 0.1, "Left": 0.5, "Top": 0.0}, "Confidence": 99}
    match = {
        "Similarity": 88.0,
        "Face": {"FaceId": "f", "ExternalImageId": "ann", "BoundingBox": {"Left": 0.9}},
    }
    raw = {"SearchFaces": [{"FaceModelVersion": "7.0"}]}
    findings = convert.searched_faces(raw, [(face, [match])], billed_units=2)
    here, same = findings.detections
    assert (same.kind, same.label, same.confidence) == ("face_match", "ann", 0.88)
    assert same.box == here.box
    assert same.attributes == {"Face": match["Face"]}
    assert findings.model_version == "7.0"


@pytest.mark.parametrize(
    ("confidence", "expected", "kept"),
    [(100, 1, False), (100.00001, 1, True), (-1, 0, True), (None, 0, True), (math.inf, 0, True)],
)
def test_a_confidence_out_of_range_is_kept_as_it_was(
    confidence: float | None, expected: float, kept: bool
) -> None:
    [found] = convert.faces({"FaceDetails": [{"Confidence": confidence}]}).detections
    assert found.confidence == expected
    assert ("Confidence" in found.attributes) == kept


@pytest.mark.parametrize("operation", CONVERSIONS)
def test_whatever_the_model_allows_converts(operation: str) -> None:
    model = operation_model(operation)
    assert model is not None

    @settings(max_examples=examples(0.6), deadline=None, suppress_health_check=list(HealthCheck))
    @given(any_value(model.output_shape))
    def converts(response: dict[str, Any]) -> None:
        storable(CONVERSIONS[operation](response))

    converts()


def test_an_instance_without_a_box_is_not_taken_for_a_label() -> None:
    box = {"Left": 0.1, "Top": 0.2, "Width": 0.3, "Height": 0.4}
    instances = [{"Confidence": 90.0}, {"BoundingBox": box, "Confidence": 80.0}, {}]
    answer = {"Labels": [{"Name": "Dog", "Confidence": 95.0, "Instances": instances}]}
    whole, boxed = convert.labels(answer).detections
    assert (whole.box, whole.confidence) == (None, 0.95)
    assert whole.attributes == {"Instances": instances}
    assert boxed.box is not None
    assert boxed.confidence == 0.8
