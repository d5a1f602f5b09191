"""Custom Labels as the endpoint plays it on a clock of ours, with S3 beside it."""

import io
import uuid
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import Result
from fakes.command import run_retinue
from PIL import Image
from retinue_cli.local import AwsEndpoint
from retinue_cli.training.service import CustomLabels
from retinue_rekognition_emulator import Endpoint, StoredObject

SIDE = 128
"""Side of a tile, in pixels."""


def tile(texture: str, number: int) -> Image.Image:
    """Return one of 16 parts of a photograph, which don't overlap."""
    path = Path(str(resources.files("skimage"))) / "data" / f"{texture}.png"
    left, top = number % 4 * SIDE, number // 4 * SIDE
    with Image.open(path) as photograph:
        return photograph.convert("RGB").crop((left, top, left + SIDE, top + SIDE))


class Clock:
    """Moves by itself whenever it is read, and when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.step = 600.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def picture(width: int = 100, height: int = 80, format_: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "#808080").save(file, format_)
    return file.getvalue()


@pytest.fixture
def bucket(aws: AwsEndpoint) -> tuple[Any, str]:
    """Return a client of S3, and an empty bucket."""
    s3 = aws.client("s3")
    name = f"train-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return s3, name


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def endpoint(bucket: tuple[Any, str], clock: Clock) -> Iterator[Endpoint]:
    """Custom Labels, which reads manifests from that S3; its own answers obey the service model."""
    s3, _ = bucket

    def source(name: str, key: str, version: str | None) -> StoredObject | None:
        try:
            return StoredObject(s3.get_object(Bucket=name, Key=key)["Body"].read())
        except s3.exceptions.ClientError:
            return None

    with Endpoint(source=source) as served:
        served.operations.versions.clock = clock
        yield served
        assert served.broken == []


@pytest.fixture
def rekognition(endpoint: Endpoint) -> Iterator[Any]:
    client = boto3.client(
        "rekognition",
        region_name="us-east-1",
        endpoint_url=endpoint.url,
        aws_access_key_id="AKIATEST",
        aws_secret_access_key="secret",
    )
    yield client
    client.close()


@pytest.fixture
def service(rekognition: Any, clock: Clock) -> CustomLabels:
    return CustomLabels(rekognition, clock.sleep)


@pytest.fixture
def cli(
    aws: AwsEndpoint, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Result]:
    """Runs ``retinue`` against both; it must succeed unless an exit code is given."""
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_REKOGNITION", endpoint.url)
    monkeypatch.chdir(tmp_path)
    return run_retinue


@pytest.fixture
def history(history_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a history, and credentials for the stand-in, in the environment."""
    for name, value in {
        "RETINUE_DATABASE_URL": history_url,
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    return history_url
