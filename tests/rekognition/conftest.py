"""An endpoint of our own, and images to send there; or AWS itself."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO

import boto3
import pytest
from botocore.config import Config
from PIL import Image as Pillow
from retinue_rekognition_emulator import Endpoint, StoredObject
from retinue_sdk import AnyDetector, DetectorSession, Image, ImageReference

BUCKET = "retinue-tests"

Store = dict[str, StoredObject]


def painting(
    *faces: tuple[str, tuple[int, int, int, int]], size: tuple[int, int] = (640, 480)
) -> bytes:
    """Return a PNG with a coloured rectangle per face: (colour, (left, top, right, bottom))."""
    picture = Pillow.new("RGB", size, "#808080")
    for colour, edges in faces:
        picture.paste(colour, edges)
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


ANN, BOB, EVE = "#ff0000", "#00ff00", "#0000ff"
TWO_FACES = painting((ANN, (40, 60, 160, 220)), (BOB, (400, 100, 500, 230)))


@pytest.fixture(autouse=True)
def _aws_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that no AWS accepts, unless the test is about AWS."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    if parameters.get("service") == "aws":
        return
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


@pytest.fixture
def store() -> Store:
    """Return the content of the endpoint's S3, by key."""
    return {}


@pytest.fixture
def endpoint(store: Store) -> Iterator[Endpoint]:
    """Yield a Rekognition endpoint that reads the store; its own answers obey the service model."""

    def source(bucket: str, key: str, version: str | None) -> StoredObject | None:
        return store.get(key) if bucket == BUCKET else None

    with Endpoint(source=source) as served:
        yield served
        assert served.broken == []


@pytest.fixture
def cloud() -> Iterator[Endpoint]:
    """Yield an endpoint for which every object exists."""
    with Endpoint() as served:
        yield served
        assert served.broken == []


@pytest.fixture
def stored(store: Store) -> Callable[..., Image]:
    """Puts an image into the store; reading it through the worker fails the test."""

    def put(key: str, data: bytes | None = None, **more: object) -> Image:
        store[key] = StoredObject(TWO_FACES if data is None else data)
        return referenced(key, **more)

    return put


def referenced(key: str, *, version_id: str | None = "v1", size_bytes: int | None = None) -> Image:
    """Return an image of which only the reference may be used."""

    def load() -> bytes:
        raise AssertionError("the image was downloaded")

    reference = ImageReference(BUCKET, key, version_id=version_id, etag="etag")
    return Image(reference, load, size_bytes=size_bytes)


@pytest.fixture
def made(endpoint: Endpoint) -> Iterator[Callable[..., DetectorSession]]:
    """Makes and starts a detector that calls the endpoint."""
    with ExitStack() as sessions:

        def make(detector: type[AnyDetector], **options: object) -> DetectorSession:
            chosen = {
                "endpoint_url": endpoint.url,
                "s3_endpoint_url": "http://127.0.0.1:9",
                "requests_per_second": 10_000,
            } | options
            one = detector(detector.options_model.model_validate(chosen))
            return sessions.enter_context(DetectorSession(one))

        yield make


@pytest.fixture
def rekognition(endpoint: Endpoint) -> Iterator[object]:
    """Yield a client of the endpoint, for what a test prepares there."""
    once = Config(retries={"total_max_attempts": 1})
    client = boto3.client(
        "rekognition", region_name="us-east-1", endpoint_url=endpoint.url, config=once
    )
    yield client
    client.close()
