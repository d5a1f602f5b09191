"""What can be set about every detector of this plugin."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field
from retinue_sdk import DetectorOptions, Operational

Ratio = Annotated[float, Field(ge=0, le=1)]
"""From 0 to 1, as in the history. The API's own numbers go from 0 to 100."""

QualityFilter = Literal["NONE", "AUTO", "LOW", "MEDIUM", "HIGH"]
"""How good a face must be to be compared; the API's own words."""


class RekognitionOptions(DetectorOptions):
    """Where and how Rekognition is called. None of this changes what it finds."""

    # Validators are made when they are first used: every worker imports all of this plugin's
    # detectors, and wants one.
    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True)

    region: Annotated[str | None, Field(pattern=r"^[a-z]{2,}(-[a-z]+)+-\d+$"), Operational()] = None
    """AWS region; it must be the bucket's own. By default the one that boto3 finds."""

    send: Annotated[Literal["reference", "bytes"], Operational()] = "reference"
    """By reference, Rekognition reads the image from S3 itself; as bytes, the worker sends it."""

    requests_per_second: Annotated[float | None, Field(gt=0, le=100_000), Operational()] = None
    """Your account's quota for the operation; by default the region's default quota. All workers
    with the same history share it."""

    account: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_-]+$"), Operational()] = None
    """A name for the AWS account, where workers of several accounts share one history: quotas and
    price tiers count by account."""

    max_concurrency: Annotated[int, Field(ge=1, le=256), Operational()] = 16
    """How many calls run at once."""

    connect_timeout_seconds: Annotated[float, Field(gt=0, le=300), Operational()] = 5
    """How long to wait for a connection."""

    read_timeout_seconds: Annotated[float, Field(gt=0, le=300), Operational()] = 30
    """How long to wait for an answer."""

    endpoint_url: Annotated[str | None, Field(pattern=r"^https?://"), Operational()] = None
    """Another Rekognition endpoint: a VPC endpoint, or an emulator."""

    s3_endpoint_url: Annotated[str | None, Field(pattern=r"^https?://"), Operational()] = None
    """Another S3 endpoint; S3 is asked why Rekognition could not read an image."""


def percent(ratio: float) -> float:
    """A ratio as the API wants it, without the rounding errors of binary fractions."""
    return round(ratio * 100, 6)
