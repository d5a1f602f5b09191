"""Every detector of Rekognition passes the checks, by reference and with bytes."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO

import pytest
from PIL import Image as Pillow
from rekognition.conftest import ANN, BOB, EVE, Store, painting, referenced
from rekognition.endpoint import Endpoint, StoredObject
from rekognition.endpoint.faults import Failure
from retinue_rekognition.plugin import DETECTORS
from retinue_sdk import (
    DetectorError,
    DetectorNotReadyError,
    ImageReference,
    InvalidImageError,
    RetriableError,
)
from retinue_sdk.testing import BaseConcurrent, BaseDetector, Fault, Subject

FAULTS: dict[str, tuple[Failure, type[DetectorError]]] = {
    "throttled": (Failure("ThrottlingException"), RetriableError),
    "broken": (Failure("InternalServerError", status=500), RetriableError),
    "denied": (Failure("AccessDeniedException"), DetectorNotReadyError),
    "format": (Failure("InvalidImageFormatException"), InvalidImageError),
}
PHOTOGRAPHS = (
    painting((ANN, (40, 60, 160, 220)), (BOB, (400, 100, 500, 230))),
    painting((EVE, (100, 100, 260, 300)), size=(480, 640)),
)


@pytest.fixture(params=["reference", "bytes"])
def subject(
    request: pytest.FixtureRequest, case: str, endpoint: Endpoint, store: Store, rekognition: object
) -> Subject:
    raise NotImplementedError
