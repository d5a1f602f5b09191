"""A detector that works, and the base class of the hostile ones."""

import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Generic, TypeVar

from pydantic import Field
from retinue_sdk import (
    BoundingBox,
    Capabilities,
    Detection,
    Detector,
    DetectorOptions,
    Findings,
    Image,
    Input,
    Operational,
    Result,
)

_LABEL_CHARACTERS = 100


def found(image: Image) -> Findings:
    """Return one label from the image's key: ``cats/tom.jpg`` is a ``tom``, with confidence 1.

    Costs one unit. Neither fetches nor decodes the image.
    """
    key = image.reference.key
    label = PurePosixPath(key).stem[:_LABEL_CHARACTERS] or "nameless"
    box = BoundingBox(0.25, 0.25, 0.5, 0.5)
    return Findings(
        detections=(Detection("label", label, 1.0, box, {"key": key}),),
        raw_response={"Key": key, "Labels": [label]},
        model_version="echo-1",
        billed_units=Decimal(1),
    )


class EchoOptions(DetectorOptions):
    """The performance of the service that ``echo`` imitates. It doesn't change findings."""

    latency_ms: Annotated[float, Field(ge=0), Operational()] = 0
    """Duration of a call, in milliseconds."""
    max_batch_size: Annotated[int, Field(ge=1), Operational()] = 1
    """Maximum number of images in a call."""
    max_concurrency: Annotated[int, Field(ge=1), Operational()] = 8
    """Maximum number of concurrent calls."""
    requests_per_second: Annotated[float | None, Field(gt=0), Operational()] = None
    """Maximum number of calls per second; none for no limit."""
    usd_per_unit: Annotated[Decimal, Field(ge=0), Operational()] = Decimal(0)
    """Price of one image, in US dollars."""


class Echo(Detector[EchoOptions]):
    """Works correctly: returns one label made from the key, downloads nothing."""

    name: ClassVar[str] = "echo"
    version: ClassVar[str] = "1"

    @property
    def capabilities(self) -> Capabilities:
        """Return the capabilities of the options. The image is never read."""
        options = self.options
        return Capabilities(
            input=Input.REFERENCE,
            max_batch_size=options.max_batch_size,
            max_concurrency=options.max_concurrency,
            requests_per_second=options.requests_per_second,
            usd_per_unit=options.usd_per_unit,
        )

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Wait like the service, then answer."""
        if self.options.latency_ms:
            time.sleep(self.options.latency_ms / 1_000)
        return [found(image) for image in images]


class HostileOptions(DetectorOptions):
    """The options of all hostile detectors."""

    max_batch_size: Annotated[int, Field(ge=1), Operational()] = 1
    """Maximum number of images in a call."""
    max_concurrency: Annotated[int, Field(ge=1), Operational()] = 1
    """Maximum number of concurrent calls."""


HostileOptionsT = TypeVar("HostileOptionsT", bound=HostileOptions)


class Hostile(Detector[HostileOptionsT], Generic[HostileOptionsT]):
    """Base class of hostile detectors. They use references and find the same as ``echo``."""

    version: ClassVar[str] = "1"

    @property
    def capabilities(self) -> Capabilities:
        """Return the capabilities of the options."""
        options = self.options
        return Capabilities(
            input=Input.REFERENCE,
            max_batch_size=options.max_batch_size,
            max_concurrency=options.max_concurrency,
        )

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Answer correctly, unless a subclass misbehaves."""
        return [found(image) for image in images]
