"""Every detector of images of Rekognition passes the checks, by reference and with bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rekognition.conftest import ANN, BOB, BUCKET, EVE, Store, painting
from retinue_rekognition.labels import LabelDetector
from retinue_rekognition.plugin import IMAGE_DETECTORS
from retinue_rekognition_emulator import Endpoint, Failure, StoredObject
from retinue_sdk import (
    DetectorError,
    DetectorNotReadyError,
    ImageReference,
    InvalidImageError,
    RetriableError,
)
from retinue_sdk.testing import BaseAsync, BaseConcurrent, BaseDetector, Fault, Subject

FAULTS: dict[str, tuple[Failure, type[DetectorError]]] = {
    "throttled": (Failure("ThrottlingException"), RetriableError),
    "broken": (Failure("InternalServerError", status=500), RetriableError),
    "denied": (Failure("AccessDeniedException"), DetectorNotReadyError),
    "format": (Failure("InvalidImageFormatException"), InvalidImageError),
}
SECRET = "nobody-may-read-this"
PHOTOGRAPHS = (
    painting((ANN, (40, 60, 160, 220)), (BOB, (400, 100, 500, 230))),
    painting((EVE, (100, 100, 260, 300)), size=(480, 640)),
)


@pytest.fixture(
    params=[(detector, "reference") for detector in IMAGE_DETECTORS] + [(LabelDetector, "bytes")],
    ids=lambda param: f"{param[0].name}-{param[1]}",
)
def subject(
    request: pytest.FixtureRequest,
    endpoint: Endpoint,
    store: Store,
    rekognition: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Subject:
    detector, send = request.param
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    (tmp_path / "eve.png").write_bytes(PHOTOGRAPHS[1])
    rekognition.create_collection(CollectionId="people")
    versions = endpoint.operations.versions
    versions.start_seconds = 0
    model = versions.start(versions.add("birds", "v1").arn, 1)

    def put(data: bytes, key: str) -> ImageReference:
        store[key] = StoredObject(data)
        return ImageReference(BUCKET, key, version_id="v1")

    @contextmanager
    def failing(failure: Failure) -> Iterator[None]:
        endpoint.faults.fail_always("*", failure)
        yield
        endpoint.faults.fail_always("*", None)

    def fault(name: str) -> Fault:
        failure, expected = FAULTS[name]
        return Fault(lambda: failing(failure), expected)

    more: dict[str, Any] = {
        "rekognition-face-search": {"collection_id": "people"},
        "rekognition-face-compare": {"reference_image": str(tmp_path / "eve.png")},
    }
    more["rekognition-custom-labels"] = {"project_version_arn": model.arn}
    options = {
        "endpoint_url": endpoint.url,
        "s3_endpoint_url": "http://127.0.0.1:9",
        "requests_per_second": 10_000,
        "read_timeout_seconds": 300,  # of the emulator, which searches twelve megapixels
        "send": send,
    }
    return Subject(
        detector,
        options | more.get(detector.name, {}),
        photographs=PHOTOGRAPHS,
        store=put,
        faults={name: fault(name) for name in FAULTS},
        secrets=[SECRET],
        memory_images=0,
    )


class TestDetector(BaseDetector):
    pass


class TestConcurrent(BaseConcurrent):
    pass


class TestAsync(BaseAsync):
    pass
