"""The endpoint's Custom Labels models: their life, their quotas, and what goes wrong on purpose."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError
from rekognition.conftest import BUCKET
from retinue_rekognition_emulator import Endpoint, Failure
from retinue_rekognition_emulator.versions import Versions


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(endpoint: Endpoint) -> Clock:
    clock = Clock()
    endpoint.operations.versions.clock = clock
    return clock


@pytest.fixture
def versions(endpoint: Endpoint) -> Versions:
    return endpoint.operations.versions


def code(failed: pytest.ExceptionInfo[ClientError]) -> str:
    return failed.value.response["Error"]["Code"]


def status(rekognition: Any, versions: Versions, arn: str) -> str:
    [project] = versions.projects.values()
    told = rekognition.describe_project_versions(ProjectArn=project.arn)
    [found] = [
        one["Status"]
        for one in told["ProjectVersionDescriptions"]
        if one["ProjectVersionArn"] == arn
    ]
    return str(found)


def test_a_model_lives_by_the_clock_and_is_billed_from_start_to_stop(
    rekognition: Any, versions: Versions, clock: Clock
) -> None:
    arn = versions.add("birds", "v1").arn
    image = {"S3Object": {"Bucket": BUCKET, "Name": "a.png"}}
    with pytest.raises(ClientError) as failed:
        rekognition.detect_custom_labels(ProjectVersionArn=arn, Image=image)
    assert code(failed) == "ResourceNotReadyException"
    answer = rekognition.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=2)
    assert answer["Status"] == "STARTING"
    with pytest.raises(ClientError) as failed:
        rekognition.stop_project_version(ProjectVersionArn=arn)
    assert code(failed) == "ResourceInUseException"
    clock.now += 599
    assert status(rekognition, versions, arn) == "STARTING"
    clock.now += 1
    assert status(rekognition, versions, arn) == "RUNNING"
    clock.now += 3_600
    assert rekognition.stop_project_version(ProjectVersionArn=arn)["Status"] == "STOPPING"
    clock.now += 10_000
    assert status(rekognition, versions, arn) == "STOPPED"
    assert versions.billed_unit_seconds(arn) == 2 * (600 + 3_600 + 120)


def test_two_models_and_five_units_are_the_most(
    rekognition: Any, versions: Versions, clock: Clock
) -> None:
    del clock
    arns = [versions.add("birds", f"v{number}").arn for number in range(3)]
    rekognition.start_project_version(ProjectVersionArn=arns[0], MinInferenceUnits=3)
    with pytest.raises(ClientError) as failed:
        rekognition.start_project_version(ProjectVersionArn=arns[1], MinInferenceUnits=3)
    assert code(failed) == "LimitExceededException"
    rekognition.start_project_version(ProjectVersionArn=arns[1], MinInferenceUnits=1)
    with pytest.raises(ClientError) as failed:
        rekognition.start_project_version(ProjectVersionArn=arns[2], MinInferenceUnits=1)
    assert code(failed) == "LimitExceededException"


def test_a_start_that_took_effect_and_was_not_answered(
    rekognition: Any, endpoint: Endpoint, versions: Versions, clock: Clock
) -> None:
    del clock
    arn = versions.add("birds", "v1").arn
    endpoint.faults.fail_next("StartProjectVersion", Failure("reset", took_effect=True))
    with pytest.raises(HTTPClientError):
        rekognition.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
    assert status(rekognition, versions, arn) == "STARTING"


def test_a_start_can_fail_and_be_tried_again(
    rekognition: Any, versions: Versions, clock: Clock
) -> None:
    arn = versions.add("birds", "v1").arn
    versions.failing_starts.append("Amazon Rekognition experienced a service issue.")
    rekognition.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
    clock.now += 600
    assert status(rekognition, versions, arn) == "FAILED"
    assert versions.billed_unit_seconds(arn) == 600
    rekognition.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
    assert status(rekognition, versions, arn) == "STARTING"


def test_projects_and_versions_come_in_pages(rekognition: Any, versions: Versions) -> None:
    for number in range(3):
        versions.add("birds", f"v{number}")
        versions.add(f"other-{number}", "v0")
    pages = rekognition.get_paginator("describe_projects").paginate(
        PaginationConfig={"PageSize": 2}
    )
    arns = [project["ProjectArn"] for page in pages for project in page["ProjectDescriptions"]]
    assert len(arns) == 4
    pages = rekognition.get_paginator("describe_project_versions").paginate(
        ProjectArn=arns[0], PaginationConfig={"PageSize": 2}
    )
    found = [
        one["ProjectVersionArn"] for page in pages for one in page["ProjectVersionDescriptions"]
    ]
    assert [arn.split("/")[3] for arn in found] == ["v2", "v1", "v0"]
    [named] = rekognition.describe_projects(ProjectNames=["birds"])["ProjectDescriptions"]
    assert named["ProjectArn"] == arns[0]
