"""The endpoint itself: as strict as the service, and what AWS adds one day."""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from rekognition.conftest import BUCKET
from retinue_rekognition.labels import LabelDetector
from retinue_rekognition_emulator import Endpoint
from retinue_sdk import DetectorSession, Findings, Image

Make = Callable[..., DetectorSession]
Stored = Callable[..., Image]


def code(failed: pytest.ExceptionInfo[ClientError]) -> str:
    return failed.value.response["Error"]["Code"]


def test_what_botocore_does_not_know_yet_reaches_the_history(
    made: Make, endpoint: Endpoint, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {
        "Labels": [
            {"Name": "Dog", "Confidence": 90.0, "Instances": None, "Breed": {"Name": "Pug"}}
        ],
        "LabelModelVersion": "9.9",
        "Mood": float("nan"),
    }
    monkeypatch.setitem(endpoint.operations.known, "DetectLabels", lambda _: answer)
    monkeypatch.setattr(endpoint, "_check_own_answer", lambda *_: None)
    [findings] = made(LabelDetector).detect([stored("a.png")])
    assert isinstance(findings, Findings)
    assert findings.detections[0].attributes == {"Instances": None, "Breed": {"Name": "Pug"}}
    raw = dict(findings.raw_response)
    assert raw.pop("ResponseMetadata").keys() == {"RequestId"}
    assert raw == answer | {"Mood": None}


@pytest.mark.parametrize(
    "parameters",
    [
        {"Features": ["EVERYTHING"]},
        {"MinConfidence": 101.0},
        {"Settings": {"ImageProperties": {"MaxDominantColors": 21}}},
        {"Image": {"S3Object": {"Bucket": "not a bucket", "Name": "a"}}},
    ],
)
def test_requests_are_held_against_the_service_model(
    rekognition: Any, parameters: dict[str, Any]
) -> None:
    image = {"S3Object": {"Bucket": BUCKET, "Name": "a"}}
    with pytest.raises(ClientError) as failed:
        rekognition.detect_labels(**{"Image": image, **parameters})
    assert code(failed) == "ValidationException"


def test_a_quota(rekognition: Any, endpoint: Endpoint) -> None:
    endpoint.faults.set_quota(0.1, burst_seconds=30)
    codes = []
    for _ in range(5):
        try:
            rekognition.list_collections()
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])
    assert endpoint.calls["ListCollections"] == 3
    assert set(codes) == {"ProvisionedThroughputExceededException"}


def test_an_unsigned_request_is_refused(endpoint: Endpoint) -> None:
    request = urllib.request.Request(
        endpoint.url, b"{}", {"X-Amz-Target": "RekognitionService.ListCollections"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 403
    refused.value.close()


def test_it_runs_as_a_program() -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "retinue_rekognition_emulator", "--port", "0", "--without-s3"],
        env={"PATH": ""},
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout is not None
        assert program.stdout.readline().startswith("listening on http://127.0.0.1:")
        program.terminate()
    assert program.returncode == 0
