"""Test the common behaviour of all detectors, and each detector's request."""

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError
from rekognition.conftest import TWO_FACES, Store
from retinue_rekognition.celebrities import CelebrityDetector
from retinue_rekognition.custom_labels import CustomLabelsDetector, CustomLabelsOptions
from retinue_rekognition.face_compare import FaceCompareDetector
from retinue_rekognition.face_search import FaceSearchDetector
from retinue_rekognition.faces import FaceDetector
from retinue_rekognition.labels import LabelDetector, LabelOptions
from retinue_rekognition.moderation import ModerationDetector
from retinue_rekognition.permissions import IAM_ACTIONS
from retinue_rekognition.plugin import DETECTORS, IMAGE_DETECTORS
from retinue_rekognition.prices import TIERS
from retinue_rekognition.protective_equipment import ProtectiveEquipmentDetector
from retinue_rekognition.quotas import DEFAULTS
from retinue_rekognition.text import TextDetector
from retinue_rekognition_emulator import Endpoint, StoredObject
from retinue_sdk import (
    AnyDetector,
    ConfigurationError,
    DetectorSession,
    Findings,
    Image,
    Input,
    InvalidImageError,
)
from retinue_sdk.detector import detector_class

Make = Callable[..., DetectorSession]
Stored = Callable[..., Image]

ONE_CALL = (
    LabelDetector,
    FaceDetector,
    ModerationDetector,
    TextDetector,
    CelebrityDetector,
    ProtectiveEquipmentDetector,
)


def test_all_can_be_registered() -> None:
    names = {detector_class(detector).name for detector in DETECTORS}
    short = {name.removeprefix("rekognition-") for name in names}
    assert short == {"celebrities", "labels", "moderation", "ppe", "text"} | {
        "faces",
        "face-compare",
        "face-search",
        "custom-labels",
        "video-celebrities",
        "video-face-search",
        "video-faces",
        "video-labels",
        "video-moderation",
        "video-segments",
        "video-text",
    }


@pytest.mark.parametrize("detector", ONE_CALL, ids=lambda detector: detector.name)
def test_by_reference_nothing_is_downloaded(
    made: Make, endpoint: Endpoint, stored: Stored, detector: type[AnyDetector]
) -> None:
    one = made(detector)
    assert one.detector.capabilities.input is Input.REFERENCE
    [findings] = one.detect([stored("some/key with space+ü.png")])  # its load fails the test
    assert isinstance(findings, Findings)
    assert findings.billed_units == 1
    assert "RequestId" in findings.raw_response["ResponseMetadata"]
    [(operation, request)] = endpoint.requests
    assert operation == detector.operation
    assert request["Image"] == {
        "S3Object": {
            "Bucket": "retinue-tests",
            "Name": "some/key with space+ü.png",
            "Version": "v1",
        }
    }


def test_without_a_version_id(made: Make, endpoint: Endpoint, stored: Stored) -> None:
    [findings] = made(LabelDetector).detect([stored("a.png", version_id=None)])
    assert isinstance(findings, Findings)
    assert "Version" not in endpoint.requests[0][1]["Image"]["S3Object"]


@pytest.mark.parametrize("detector", ONE_CALL, ids=lambda detector: detector.name)
def test_as_bytes_only_when_told_to(
    made: Make, endpoint: Endpoint, detector: type[AnyDetector]
) -> None:
    one = made(detector, send="bytes")
    assert one.detector.capabilities.input is Input.BYTES
    [findings] = one.detect([Image.from_bytes(TWO_FACES)])
    assert isinstance(findings, Findings)
    assert endpoint.requests[0][1]["Image"] == {"Bytes": TWO_FACES}
    assert one.detector.fingerprint() == made(detector).detector.fingerprint()


def test_bytes_have_limits_of_their_own(made: Make, endpoint: Endpoint) -> None:
    large = Image.from_bytes(TWO_FACES + bytes(4 * 2**20))
    [answer] = made(ProtectiveEquipmentDetector, send="bytes").detect([large])
    assert isinstance(answer, InvalidImageError)
    assert answer.code == "image_too_large_for_service"
    [answer] = made(LabelDetector, send="bytes").detect([large])
    assert isinstance(answer, Findings)
    [answer] = made(LabelDetector, send="bytes").detect([Image.from_bytes(b"GIF89a....")])
    assert isinstance(answer, InvalidImageError)
    assert answer.code == "unsupported_format"


def test_findings_of_each_kind(made: Make, stored: Stored) -> None:
    kinds = {}
    for detector in ONE_CALL:
        [findings] = made(detector).detect([stored("b.png")])
        kinds[detector.name] = {detection.kind for detection in findings.detections}
    assert kinds["rekognition-labels"] == {"label"}
    assert kinds["rekognition-faces"] == {"face"}
    assert kinds["rekognition-moderation"] <= {"moderation", "content_type"}
    assert kinds["rekognition-text"] == {"text"}
    assert kinds["rekognition-celebrities"] == {"celebrity", "face"}
    assert kinds["rekognition-ppe"] == {"person", "body_part", "protective_equipment"}


def first_usd(detector: AnyDetector) -> Decimal:
    """Return the cost of a month's first image."""
    return sum((price.usd(Decimal(1)) for price in detector.capabilities.prices), Decimal(0))


def test_image_properties_are_billed_beside_the_labels(made: Make, stored: Stored) -> None:
    both = made(LabelDetector, features=["GENERAL_LABELS", "IMAGE_PROPERTIES"])
    assert first_usd(both.detector) == Decimal("0.00175")
    [findings] = both.detect([stored("a.png")])
    assert findings.detections[-1].kind == "image_properties"
    alone = made(LabelDetector, features=["IMAGE_PROPERTIES"])
    assert first_usd(alone.detector) == Decimal("0.00075")
    assert first_usd(made(LabelDetector).detector) == Decimal("0.001")
    groups = {price.billing_group for price in both.detector.capabilities.prices}
    assert len(groups) == 2
    assert made(FaceDetector).detector.capabilities.prices[0].billing_group in groups


def test_options_reach_the_request_in_percent(
    made: Make, endpoint: Endpoint, stored: Stored
) -> None:
    options = {"min_confidence": 0.55, "max_labels": 7, "label_exclusion_filters": ["Dog"]}
    made(LabelDetector, **options).detect([stored("a.png")])
    request = endpoint.requests[0][1]
    assert request["MinConfidence"] == 55
    assert request["MaxLabels"] == 7
    assert request["Settings"] == {"GeneralLabels": {"LabelExclusionFilters": ["Dog"]}}


@pytest.mark.parametrize(
    ("detector", "options", "names"),
    [
        (LabelDetector, {"min_confidence": 55}, "less than or equal to 1"),
        (LabelDetector, {"features": ["ALL"]}, "GENERAL_LABELS"),
        (LabelDetector, {"max_labels": 0}, "greater than or equal to 1"),
        (LabelDetector, {"region": "Ireland"}, "region"),
        (LabelDetector, {"requests_per_second": 0}, "requests_per_second"),
        (LabelDetector, {"send": "pixels"}, "'reference' or 'bytes'"),
        (ProtectiveEquipmentDetector, {"min_confidence": 0.4}, "0.5"),
        (FaceSearchDetector, {}, "collection_id"),
        (FaceSearchDetector, {"collection_id": "my faces"}, "collection_id"),
        (FaceSearchDetector, {"collection_id": "c", "index_unknown": True}, "consent"),
        (FaceCompareDetector, {}, "reference_image"),
    ],
)
def test_bad_options_are_refused(
    detector: type[AnyDetector], options: dict[str, object], names: str
) -> None:
    with pytest.raises(ValidationError, match=names):
        detector.options_model.model_validate(options)


def test_the_region_must_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(ConfigurationError, match="region"):
        LabelDetector(LabelOptions())
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert LabelDetector(LabelOptions()).region == "eu-west-1"


@pytest.mark.parametrize(
    ("detector", "region", "rate"),
    [
        (LabelDetector, "us-east-1", 50),
        (LabelDetector, "eu-central-1", 5),
        (FaceDetector, "eu-west-1", 100),
        (FaceDetector, "ap-south-1", 25),
        (ProtectiveEquipmentDetector, "us-east-1", 5),
        (LabelDetector, "xx-nowhere-9", 5),
    ],
)
def test_the_pace_is_the_regions_default(
    detector: type[AnyDetector], region: str, rate: float
) -> None:
    one = detector(detector.options_model.model_validate({"region": region}))
    quota = f"rekognition:{region}:{one.operation}"
    assert one.capabilities.quotas == {quota: rate}
    own = detector.options_model.model_validate({"region": region, "requests_per_second": 12.5})
    assert detector(own).capabilities.quotas == {quota: 12.5}
    assert own.fingerprint() == one.options.fingerprint()


def test_tables_and_permissions_cover_every_operation() -> None:
    operations = {name for detector in DETECTORS for name in detector.operations}
    assert operations == DEFAULTS.keys()
    in_other_units = {"DetectCustomLabels", "StartSegmentDetection"}
    assert {d.operation for d in DETECTORS} - TIERS.keys() == in_other_units
    s3 = {action for action in IAM_ACTIONS if action.startswith("s3:")}
    assert s3 == {"s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"}
    assert IAM_ACTIONS - s3 - {"iam:PassRole"} == {f"rekognition:{name}" for name in operations}


def test_calls_actually_made_are_those_that_are_declared(
    made: Make, endpoint: Endpoint, stored: Stored, store: Store, tmp_path: Path
) -> None:
    """Drives each detector down each of its ways, and counts what reaches the endpoint."""
    image = stored("two.png")
    store["nobody.png"] = StoredObject(b"")
    reference = tmp_path / "ann.png"
    reference.write_bytes(TWO_FACES)
    endpoint.operations.collections.create("people")
    endpoint.operations.collections.create("visitors")
    ways: list[tuple[type[AnyDetector], dict[str, object]]] = [(d, {}) for d in ONE_CALL]
    ways += [
        (FaceCompareDetector, {"reference_image": str(reference)}),
        (FaceSearchDetector, {"collection_id": "people"}),
        (FaceSearchDetector, {"collection_id": "people", "send": "bytes"}),
        (FaceSearchDetector, {"collection_id": "visitors", "index_unknown": True, "consent": "x"}),
    ]
    versions = endpoint.operations.versions
    versions.start_seconds = 0
    model = CustomLabelsDetector(
        CustomLabelsOptions(
            endpoint_url=endpoint.url, project_version_arn=versions.add("birds", "v1").arn
        )
    ).managed_model
    model.start(1)
    ways.append((CustomLabelsDetector, {"project_version_arn": model.name}))
    called: set[str] = {"StartProjectVersion"}
    for detector, options in ways:
        endpoint.calls.clear()
        send = options.get("send", "reference")
        one = made(detector, **options)
        [found] = one.detect([image if send == "reference" else Image.from_bytes(TWO_FACES)])
        assert isinstance(found, Findings), found
        assert endpoint.calls.keys() <= set(detector.operations)
        called |= endpoint.calls.keys()
    endpoint.calls.clear()
    model.stop()
    called |= endpoint.calls.keys()
    assert called == {name for detector in IMAGE_DETECTORS for name in detector.operations}


def test_many_at_once(made: Make, endpoint: Endpoint, stored: Stored) -> None:
    """64 images of 50 ms, 16 at a time: 200 ms of waiting."""
    detector = made(LabelDetector)
    images = [stored(f"{number}.png") for number in range(64)]
    detector.detect(images[:1])
    endpoint.faults.latency_ms = 50
    began = time.monotonic()
    answers = detector.detect(images)
    seconds = time.monotonic() - began
    assert all(isinstance(answer, Findings) for answer in answers)
    assert seconds < 64 * 0.05 / 2  # a quarter would do; the machine is shared


def test_the_service_model_has_nothing_to_complain_of(endpoint: Endpoint) -> None:
    assert endpoint.broken == []
