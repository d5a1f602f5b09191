"""The same tests against our endpoint and, by ``make test-aws``, against AWS itself."""

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from fakes.videos import BIKES, corners, encoded
from PIL import Image as Pillow
from rekognition import aws_account
from rekognition.conftest import ANN, BUCKET, Store, painting
from retinue_cli.faces.enrol import choose, enrol
from retinue_cli.faces.errors import FacesError, NoSuchCollectionError
from retinue_cli.faces.external_id import name_of
from retinue_cli.faces.forget import Forgetting, PersonSubject
from retinue_cli.faces.photo import load
from retinue_cli.faces.service import FaceService
from retinue_history.db.engine import create_history_engine
from retinue_history.privacy.erasure import Erasures
from retinue_history.privacy.people import People
from retinue_rekognition.celebrities import CelebrityDetector
from retinue_rekognition.face_compare import FaceCompareDetector
from retinue_rekognition.face_search import FaceSearchDetector
from retinue_rekognition.faces import FaceDetector
from retinue_rekognition.labels import LabelDetector
from retinue_rekognition.moderation import ModerationDetector
from retinue_rekognition.prices import TIERS
from retinue_rekognition.protective_equipment import ProtectiveEquipmentDetector
from retinue_rekognition.text import TextDetector
from retinue_rekognition.video.celebrities import VideoCelebrityDetector
from retinue_rekognition.video.face_search import VideoFaceSearchDetector
from retinue_rekognition.video.faces import VideoFaceDetector
from retinue_rekognition.video.labels import VideoLabelDetector
from retinue_rekognition.video.moderation import VideoModerationDetector
from retinue_rekognition.video.segments import VideoSegmentDetector
from retinue_rekognition.video.text import VideoTextDetector
from retinue_rekognition_emulator import Endpoint, StoredObject
from retinue_sdk import (
    AnyDetector,
    DetectorNotReadyError,
    DetectorSession,
    Findings,
    Image,
    ImageReference,
    InvalidImageError,
    JobDetector,
    Video,
)
from skimage import data

with_aws = pytest.mark.skipif(not aws_account.wanted(), reason="`make test-aws` asks AWS itself")


@dataclass
class Service:
    """Rekognition and S3, whichever.

    Attributes:
        rekognition: A client.
        put: Stores an object.
        options: What makes a detector call this service.
        bucket: Where objects are.
        portrait: A picture with one face that this service knows again.
        collection_id: A collection that is empty at first.
        sessions: The detectors that were started.
    """

    rekognition: Any
    put: Callable[[str, bytes], None]
    options: dict[str, object]
    bucket: str
    portrait: bytes
    collection_id: str = field(default_factory=lambda: f"{aws_account.PREFIX}{uuid.uuid4()}")
    sessions: ExitStack = field(default_factory=ExitStack)

    def image(self, key: str, content: bytes | None = None) -> Image:
        """Return an image of which only the reference may be used."""
        if content is not None:
            self.put(key, content)

        def load() -> bytes:
            raise AssertionError("the image was downloaded")

        return Image(ImageReference(self.bucket, key, etag="*"), load)

    def detector(self, kind: type[AnyDetector], **options: object) -> DetectorSession:
        """Return a detector that was started."""
        one = kind(kind.options_model.model_validate(self.options | options))
        return self.sessions.enter_context(DetectorSession(one))


@pytest.fixture(params=["endpoint", pytest.param("aws", marks=with_aws)])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    if request.param == "endpoint":
        endpoint: Endpoint = request.getfixturevalue("endpoint")
        store: Store = request.getfixturevalue("store")
        options = {"endpoint_url": endpoint.url, "s3_endpoint_url": endpoint.url}
        endpoint.operations.video.jobs.least_seconds = 0.2
        endpoint.operations.video.jobs.seconds_per_minute = 0
        one = Service(
            boto3.client("rekognition", region_name="us-east-1", endpoint_url=endpoint.url),
            lambda key, content: store.__setitem__(key, StoredObject(content)),
            options | {"requests_per_second": 1_000},
            BUCKET,
            painting((ANN, (40, 60, 160, 220))),
        )
        with one.sessions:
            yield one
        one.rekognition.close()
        images = [operation for operation in TIERS if not operation.startswith("Start")]
        BILLED.append(sum(endpoint.calls[operation] for operation in images))
        BILLED_JOBS.append(sum(endpoint.operations.video.jobs.started.values()))
        return
    if reason := aws_account.missing():
        pytest.skip(reason)
    bucket = request.getfixturevalue("aws_bucket")
    s3 = boto3.client("s3", region_name=os.environ.get("AWS_REGION"))

    def put(key: str, content: bytes) -> None:
        s3.put_object(Bucket=bucket, Key=key, Body=content)

    client = boto3.client("rekognition", region_name=os.environ.get("AWS_REGION"))
    one = Service(client, put, {}, bucket, request.getfixturevalue("astronaut"))
    with one.sessions:
        yield one


@pytest.fixture(scope="module")
def aws_bucket() -> Iterator[str]:
    """Yield a bucket in AWS, for all tests of this module."""
    with aws_account.bucket(boto3.client("s3", region_name=os.environ.get("AWS_REGION"))) as name:
        yield name


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
    """Return a woman before a flag, 512 × 512."""
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
    detector: type[AnyDetector],
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
    assert (answer.code, answer.retryable) == ("object_not_found", True)


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


def test_faces_are_compared(service: Service, astronaut: bytes) -> None:
    service.put("reference.jpg", astronaut)
    reference = f"s3://{service.bucket}/reference.jpg"
    detector = service.detector(FaceCompareDetector, reference_image=reference)
    [findings] = detector.detect([service.image("astronaut.jpg", astronaut)])
    assert isinstance(findings, Findings), findings
    assert findings.detections[0].label == "reference"
    assert findings.detections[0].confidence > 0.99


def test_a_person_is_enrolled_found_and_forgotten(
    service: Service, collection: str, history_url: str, tmp_path: Path
) -> None:
    """What `retinue faces` does, with whichever service."""
    (tmp_path / "eileen.jpg").write_bytes(service.portrait)
    photo = load(str(tmp_path / "eileen.jpg"))
    faces = FaceService(service.rekognition.meta.region_name, service.rekognition)
    engine = create_history_engine(history_url)
    people, erasures = People(engine), Erasures(engine)
    chosen = [choose(faces, photo, None)]
    told: list[str] = []
    assert enrol(faces, people, collection, "Eileen Ünger", "NASA", chosen, told.append) == 1
    assert "eileen.jpg: face " in told[0]
    _until(lambda: len(list(faces.faces(collection))) == 1)
    [match] = faces.search(collection, photo.data, 0.8)
    assert name_of(match.face.external_image_id or "") == "Eileen Ünger"
    assert match.similarity > 0.99
    forgetting = Forgetting(people, erasures, lambda _: faces)
    subject = PersonSubject.person("Eileen Ünger")
    found = forgetting.find(subject)
    assert (found.vector_count, found.enrolments) == (1, 1)
    done = forgetting.forget(subject, found)
    assert done.removed == {"face_vectors": 1, "faces": 1, "people": 1}
    assert list(faces.faces(collection)) == []
    assert faces.search(collection, photo.data, 0.8) == []
    with pytest.raises(FacesError, match="exists"):
        faces.create(collection)
    with pytest.raises(NoSuchCollectionError):
        faces.face_count("retinue-test-nowhere")
    engine.dispose()


async def _process(service: Service, kind: type[JobDetector[Any]], key: str) -> Findings:
    """Return the result of a job on a stored video."""
    more = {"collection_id": service.collection_id} if kind is VideoFaceSearchDetector else {}
    options = {k: v for k, v in service.options.items() if k != "requests_per_second"}
    detector = kind(kind.options_model.model_validate(options | more))
    await detector.start()
    try:
        video = Video(ImageReference(service.bucket, key, etag="*"))
        token = uuid.uuid4().hex
        job = {"token": token, "tag": f"retinue/{token}"}
        job_id = await detector.start_job(video, **job)
        assert await detector.start_job(video, **job) == job_id
        async with asyncio.timeout(900):
            while (findings := await detector.job_result(job_id, video)) is None:
                await asyncio.sleep(0.1 if service.options else 10)
        return findings
    finally:
        await detector.close()


@pytest.mark.parametrize(
    ("detector", "kinds"),
    [
        (VideoLabelDetector, {"label"}),
        (VideoFaceDetector, {"face"}),
        (VideoFaceSearchDetector, {"face", "face_match", "person"}),
        (VideoModerationDetector, {"moderation"}),
        (VideoTextDetector, {"text"}),
        (VideoCelebrityDetector, {"celebrity"}),
        (VideoSegmentDetector, {"shot", "technical_cue"}),
    ],
)
async def test_each_detector_processes_a_video(
    service: Service, collection: str, detector: type[JobDetector[Any]], kinds: set[str]
) -> None:
    del collection
    service.put("bikes.mp4", BIKES.read_bytes())
    findings = await _process(service, detector, "bikes.mp4")
    assert {one.kind for one in findings.detections} <= kinds
    assert all(0 <= one.start_ms <= one.end_ms <= 10_100 for one in findings.detections)
    assert float(findings.billed_units) == pytest.approx(10 / 60, rel=0.02)
    assert findings.raw_response["VideoMetadata"]
    if detector in {VideoLabelDetector, VideoSegmentDetector}:
        assert findings.detections


async def test_a_codec_that_is_not_supported(service: Service) -> None:
    service.put("old.mp4", encoded([corners(128, 96)] * 50, codec="mpeg4"))
    with pytest.raises(InvalidImageError) as failed:
        await _process(service, VideoLabelDetector, "old.mp4")
    assert failed.value.code == "unsupported_codec"


async def test_a_video_that_is_missing(service: Service) -> None:
    with pytest.raises(InvalidImageError) as failed:
        await _process(service, VideoLabelDetector, "not there.mp4")
    assert failed.value.code == "object_not_found"


def test_the_bill_is_as_small_as_is_said(service: Service) -> None:
    """Runs last: counts what the tests above had the endpoint look at, if it was that."""
    if service.rekognition.meta.endpoint_url.endswith(".amazonaws.com"):
        pytest.skip("AWS does not tell")
    assert sum(BILLED) <= aws_account.BILLED_IMAGES
    assert sum(BILLED_JOBS) <= aws_account.BILLED_JOBS


BILLED: list[int] = []
"""Images that each test had the endpoint look at."""

BILLED_JOBS: list[int] = []
"""Jobs that each test had the endpoint start."""


def _until(true: Callable[[], bool], seconds: float = 15) -> None:
    """AWS says that what was just stored may take a moment to be listed."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)
