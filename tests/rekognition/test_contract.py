"""The same tests against our endpoint and, with RETINUE_TEST_AWS=1, against AWS.

AWS wants credentials, AWS_REGION, and RETINUE_TEST_BUCKET: a bucket there that the tests may write
to. They cost about three cents, and leave nothing behind.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import boto3
import numpy as np
import pytest
from PIL import Image as Pillow
from rekognition.conftest import BUCKET, Store
from retinue_rekognition.celebrities import CelebrityDetector
from retinue_rekognition.endpoint import Endpoint, StoredObject
from retinue_rekognition.face_compare import FaceCompareDetector
from retinue_rekognition.face_search import FaceSearchDetector
from retinue_rekognition.faces import FaceDetector
from retinue_rekognition.labels import LabelDetector
from retinue_rekognition.moderation import ModerationDetector
from retinue_rekognition.protective_equipment import ProtectiveEquipmentDetector
from retinue_rekognition.text import TextDetector
from retinue_sdk import (
    Detector,
    DetectorNotReadyError,
    Findings,
    Image,
    ImageReference,
    InvalidImageError,
)
from skimage import data

with_aws = pytest.mark.skipif(
    os.environ.get("RETINUE_TEST_AWS") != "1", reason="RETINUE_TEST_AWS=1 asks AWS itself"
)


@dataclass
class Service:
    """Rekognition and S3, whichever.

    Attributes:
        rekognition: A client.
        put: Stores an object.
        options: What makes a detector call this service.
        bucket: Where objects are.
        collection_id: A collection that is empty at first.
    """

    rekognition: Any
    put: Callable[[str, bytes], None]
    options: dict[str, object]
    bucket: str
    collection_id: str = field(default_factory=lambda: f"retinue-test-{uuid.uuid4()}")

    def image(self, key: str, content: bytes | None = None) -> Image:
        """An image of which only the reference may be used."""
        if content is not None:
            self.put(key, content)

        def load() -> bytes:
            raise AssertionError("the image was downloaded")

        return Image(ImageReference(self.bucket, key, etag="*"), load)

    def detector(self, kind: type[Detector], **options: object) -> Detector:
        """A detector that was started."""
        one = kind(kind.options_model.model_validate(self.options | options))
        one.start()
        return one


@pytest.fixture(params=["endpoint", pytest.param("aws", marks=with_aws)])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    if request.param == "endpoint":
        endpoint: Endpoint = request.getfixturevalue("endpoint")
        store: Store = request.getfixturevalue("store")
        options = {"endpoint_url": endpoint.url, "s3_endpoint_url": endpoint.url}
        one = Service(
            boto3.client("rekognition", region_name="us-east-1", endpoint_url=endpoint.url),
            lambda key, content: store.__setitem__(key, StoredObject(content)),
            options | {"requests_per_second": 1_000},
            BUCKET,
        )
        yield one
        one.rekognition.close()
        return
    s3, bucket = boto3.client("s3"), os.environ["RETINUE_TEST_BUCKET"]
    stored: list[str] = []

    def put(key: str, content: bytes) -> None:
        s3.put_object(Bucket=bucket, Key=key, Body=content)
        stored.append(key)

    one = Service(boto3.client("rekognition"), put, {}, bucket)
    yield one
    for key in stored:
        s3.delete_object(Bucket=bucket, Key=key)


@pytest.fixture
def collection(service: Service) -> Iterator[str]:
    service.rekognition.create_collection(CollectionId=service.collection_id)
    yield service.collection_id
    service.rekognition.delete_collection(CollectionId=service.collection_id)


def jpeg(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Pillow.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()


@pytest.fixture(scope="module")
def astronaut() -> bytes:
    """A woman before a flag, 512 × 512."""
    return jpeg(data.astronaut())


@pytest.mark.parametrize(
    ("detector", "kinds", "versioned"),
    [
        (LabelDetector, {"label"}, True),
        (FaceDetector, {"face"}, False),
        (ModerationDetector, {"moderation", "content_type"}, True),
        (TextDetector, {"text"}, True),
        (CelebrityDetector, {"celebrity", "face"}, False),
        (ProtectiveEquipmentDetector, {"person", "body_part", "protective_equipment"}, True),
    ],
)
def test_each_detector_looks(
    service: Service,
    astronaut: bytes,
    detector: type[Detector],
    kinds: set[str],
    versioned: bool,
) -> None:
    [findings] = service.detector(detector).detect([service.image("astronaut.jpg", astronaut)])
    assert isinstance(findings, Findings), findings
    assert {detection.kind for detection in findings.detections} <= kinds
    assert (findings.model_version is not None) == versioned
    assert findings.raw_response


def test_what_is_missing_is_not_the_permission(service: Service) -> None:
    [answer] = service.detector(LabelDetector).detect([service.image("not there.jpg")])
    assert isinstance(answer, InvalidImageError)
    assert (answer.code, answer.final) == ("object_not_found", False)


def test_what_is_no_image(service: Service) -> None:
    [answer] = service.detector(LabelDetector).detect([service.image("text.jpg", b"no image")])
    assert isinstance(answer, InvalidImageError)
    assert answer.code == "unsupported_format"


def test_what_is_too_small(service: Service, astronaut: bytes) -> None:
    tiny = jpeg(data.astronaut()[:40, :40].copy())
    [answer] = service.detector(LabelDetector).detect([service.image("tiny.jpg", tiny)])
    assert isinstance(answer, InvalidImageError)
    assert answer.code == "rejected_by_service"


def test_a_collection_that_is_missing(service: Service) -> None:
    with pytest.raises(DetectorNotReadyError, match="collection"):
        service.detector(FaceSearchDetector, collection_id=service.collection_id)


def test_a_face_is_found_again(service: Service, collection: str, astronaut: bytes) -> None:
    service.put("known.jpg", astronaut)
    where = {"S3Object": {"Bucket": service.bucket, "Name": "known.jpg"}}
    service.rekognition.index_faces(
        CollectionId=collection, Image=where, ExternalImageId="eileen", MaxFaces=1
    )
    search = service.detector(FaceSearchDetector, collection_id=collection)
    twice = np.hstack([data.astronaut(), data.astronaut()[:, ::-1]])
    for picture in (astronaut, jpeg(twice)):
        [findings] = search.detect([service.image("search.jpg", picture)])
        assert isinstance(findings, Findings), findings
        names = {d.label for d in findings.detections if d.kind == "face_match"}
        assert names <= {"eileen"}
    assert len(service.rekognition.list_faces(CollectionId=collection)["Faces"]) <= 1
    search.close()


def test_faces_are_compared(service: Service, astronaut: bytes) -> None:
    service.put("reference.jpg", astronaut)
    reference = f"s3://{service.bucket}/reference.jpg"
    detector = service.detector(FaceCompareDetector, reference_image=reference)
    [findings] = detector.detect([service.image("astronaut.jpg", astronaut)])
    assert isinstance(findings, Findings), findings
    assert findings.detections[0].label == "reference"
    assert findings.detections[0].confidence > 0.99
