"""The common options of this plugin's detectors."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field
from retinue_sdk import DetectorOptions, Operational

Ratio = Annotated[float, Field(ge=0, le=1)]
"""A number from 0 to 1, as in the history. The API's own numbers are from 0 to 100."""

QualityFilter = Literal["NONE", "AUTO", "LOW", "MEDIUM", "HIGH"]
"""Minimum quality of a face to compare, with the API's names."""


class ServiceOptions(DetectorOptions):
    """Options of all Rekognition detectors. They don't change findings."""

    # Validators are created on first use, because every worker imports all of this plugin's
    # detectors, and few workers need more than one.
    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True)

    region: Annotated[str | None, Field(pattern=r"^[a-z]{2,}(-[a-z]+)+-\d+$"), Operational()] = None
    """AWS region, which must be the bucket's. Default: boto3's configuration."""

    requests_per_second: Annotated[float | None, Field(gt=0, le=100_000), Operational()] = None
    """Your account's quota of the operation. Default: the region's default quota. All workers with
    the same history share it.
    """

    account: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_-]+$"), Operational()] = None
    """A name for the AWS account, if workers of several accounts share one history. Quotas and
    price tiers apply per account.
    """

    max_concurrency: Annotated[int, Field(ge=1, le=256), Operational()] = 16
    """Maximum number of concurrent calls."""

    connect_timeout_seconds: Annotated[float, Field(gt=0, le=300), Operational()] = 5
    """Timeout of a connection."""

    read_timeout_seconds: Annotated[float, Field(gt=0, le=300), Operational()] = 30
    """Timeout of an answer."""

    endpoint_url: Annotated[str | None, Field(pattern=r"^https?://"), Operational()] = None
    """Another endpoint of Rekognition: a VPC endpoint, or an emulator."""

    s3_endpoint_url: Annotated[str | None, Field(pattern=r"^https?://"), Operational()] = None
    """Another endpoint of S3, which is queried if Rekognition could not read an object."""


class RekognitionOptions(ServiceOptions):
    """Options of all Rekognition detectors of images. They don't change findings."""

    send: Annotated[Literal["reference", "bytes"], Operational()] = "reference"
    """By reference, Rekognition reads the image from S3 itself. As bytes, the worker sends it."""


def percent(ratio: float) -> float:
    """Return a ratio as the API's percentage, without rounding errors of binary fractions."""
    return round(ratio * 100, 6)
