"""Custom Labels: the detector, its model, and what is refused before anything is spent."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from retinue_rekognition import convert
from retinue_rekognition.custom_labels import CustomLabelsDetector, CustomLabelsOptions
from retinue_rekognition.custom_model import STATES
from retinue_rekognition.version_arn import VersionArn
from retinue_rekognition_emulator import Endpoint, Failure
from retinue_rekognition_emulator.model import service_model
from retinue_rekognition_emulator.versions import Versions
from retinue_sdk import (
    BoundingBox,
    ConfigurationError,
    DetectorNotReadyError,
    DetectorSession,
    Findings,
    Image,
    ModelState,
    RetriableError,
)

Make = Callable[..., DetectorSession]
Stored = Callable[..., Image]
ARN = "arn:aws:rekognition:{region}:{account}:project/birds/version/v1/1700000000000"

# The shape that "Analyzing an image with a trained model" and the API reference publish, with
# values of our own: an image-level label, and an object with a box and no polygon.
PUBLISHED = {
    "CustomLabels": [
        {"Name": "living_room", "Confidence": 83.41},
        {
            "Name": "MyLogo",
            "Confidence": 77.727,
            "Geometry": {
                "BoundingBox": {"Width": 0.198, "Height": 0.072, "Left": 0.041, "Top": -0.002}
            },
        },
    ]
}


@pytest.fixture
def versions(endpoint: Endpoint) -> Versions:
    versions = endpoint.operations.versions
    versions.start_seconds = versions.stop_seconds = 0
    return versions


def test_labels_of_the_image_and_boxes() -> None:
    findings = convert.custom_labels(PUBLISHED)
    room, logo = findings.detections
    assert (room.kind, room.label, room.box) == ("custom_label", "living_room", None)
    assert room.confidence == pytest.approx(0.8341)
    assert logo.box == BoundingBox(0.041, -0.002, 0.198, 0.072)
    assert logo.attributes == {"Geometry": {}}
    assert findings.billed_units == 0
    assert findings.raw_response == PUBLISHED
    assert convert.custom_labels({"CustomLabels": []}).detections == ()


def test_a_stopped_model_is_not_ready_and_a_running_one_answers(
    made: Make, stored: Stored, versions: Versions
) -> None:
    version = versions.add("birds", "v7")
    detector = made(CustomLabelsDetector, project_version_arn=version.arn, min_confidence=0)
    [answer] = detector.detect([stored("a.png")])
    assert isinstance(answer, DetectorNotReadyError)
    assert "ResourceNotReadyException" in str(answer)
    model = detector.detector.managed_model
    assert model.describe().state is ModelState.STOPPED
    model.start(2)
    status = model.describe()
    assert (status.state, status.units) == (ModelState.RUNNING, 2)
    assert model.usd_per_unit_minute * 60 == Decimal(4)
    [answer] = detector.detect([stored("a.png")])
    assert isinstance(answer, Findings)
    assert {detection.kind for detection in answer.detections} == {"custom_label"}
    assert detector.detector.model_version == "v7"
    model.stop()
    assert model.describe().state is ModelState.STOPPED


def test_options_reach_the_request(
    made: Make, endpoint: Endpoint, stored: Stored, versions: Versions
) -> None:
    arn = versions.start(versions.add("birds", "v1").arn, 1).arn
    made(CustomLabelsDetector, project_version_arn=arn).detect([stored("a.png")])
    request = endpoint.requests[-1][1]
    assert request.keys() == {"Image", "ProjectVersionArn"}  # training's own thresholds hold
    wanted = {"min_confidence": 0.55, "max_results": 3}
    made(CustomLabelsDetector, project_version_arn=arn, **wanted).detect([stored("a.png")])
    request = endpoint.requests[-1][1]
    assert (request["MinConfidence"], request["MaxResults"]) == (55, 3)


@pytest.mark.parametrize("arn", ["birds", "arn:aws:s3:::bucket", ARN + "/", ""])
def test_what_is_no_version_arn_is_refused(arn: str) -> None:
    with pytest.raises(ValueError, match="project_version_arn"):
        CustomLabelsOptions(project_version_arn=arn)
    with pytest.raises(ValueError, match="not the ARN"):
        VersionArn.parse(arn)


def test_a_model_of_another_region_is_refused_before_anything_is_called(made: Make) -> None:
    arn = ARN.format(region="eu-west-1", account="123456789012")
    with pytest.raises(
        ConfigurationError, match="model is in eu-west-1, but the detector calls us-east-1"
    ):
        made(CustomLabelsDetector, project_version_arn=arn)


@pytest.mark.parametrize(
    ("projects", "says"), [(["birds"], "belong to account 123456789012"), ([], "no Custom Labels")]
)
def test_a_model_of_another_account_is_refused_before_anything_is_spent(
    made: Make, endpoint: Endpoint, versions: Versions, projects: list[str], says: str
) -> None:
    for name in projects:
        versions.add(name, "v1")
    arn = ARN.format(region="us-east-1", account="999999999999")
    with pytest.raises(ConfigurationError, match=says):
        made(CustomLabelsDetector, project_version_arn=arn)
    assert endpoint.calls.keys() <= {"DescribeProjects"}


def test_a_version_that_was_deleted_is_refused(made: Make, versions: Versions) -> None:
    versions.add("birds", "v2")
    arn = ARN.format(region="us-east-1", account="123456789012")
    with pytest.raises(ConfigurationError, match="project birds has no version v1"):
        made(CustomLabelsDetector, project_version_arn=arn)


def test_a_project_that_is_not_the_versions_is_refused(made: Make, versions: Versions) -> None:
    arn = versions.add("birds", "v1").arn
    project = versions.create_project("bees").arn
    with pytest.raises(ConfigurationError, match="project_arn"):
        made(CustomLabelsDetector, project_version_arn=arn, project_arn=project)


def test_every_status_of_the_api_has_a_meaning() -> None:
    assert set(service_model().shape_for("ProjectVersionStatus").enum) == STATES.keys()


def test_a_status_that_nobody_foresaw_means_wait(made: Make, versions: Versions) -> None:
    version = versions.add("birds", "v1")
    model = made(CustomLabelsDetector, project_version_arn=version.arn).detector.managed_model
    version.status = "TRAINING_FAILED"
    assert model.describe().state is ModelState.UNUSABLE
    version.status = "COPYING_IN_PROGRESS"
    assert model.describe().state is ModelState.PREPARING


def test_a_start_without_an_answer_took_effect_all_the_same(
    made: Make, endpoint: Endpoint, versions: Versions
) -> None:
    arn = versions.add("birds", "v1").arn
    model = made(CustomLabelsDetector, project_version_arn=arn).detector.managed_model
    endpoint.faults.fail_next("StartProjectVersion", Failure("reset", took_effect=True))
    with pytest.raises(RetriableError):
        model.start(1)
    assert model.describe().state is ModelState.RUNNING


def test_a_quota_that_is_reached_says_so(made: Make, versions: Versions) -> None:
    arn = versions.add("birds", "v1").arn
    model = made(CustomLabelsDetector, project_version_arn=arn).detector.managed_model
    with pytest.raises(DetectorNotReadyError, match="LimitExceededException"):
        model.start(6)


def test_hosted_models_are_found_by_pattern(
    endpoint: Endpoint, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_REKOGNITION", endpoint.url)
    birds, bees = versions.add("birds", "v1").arn, versions.add("bees", "v1").arn
    versions.add("birds", "v2")
    versions.start(birds, 1)
    versions.start(bees, 1)

    def found(*patterns: str) -> list[Any]:
        return [model.name for model in CustomLabelsDetector.find_models(patterns)]

    assert found() == []
    assert found("*:project/birds/*") == [birds]
    assert found("*") == [birds, bees]
    assert found("*:project/nobody/*") == []
    [model] = CustomLabelsDetector.find_models(["*/bees/*"])
    model.stop()
    assert model.describe().state is ModelState.STOPPED
