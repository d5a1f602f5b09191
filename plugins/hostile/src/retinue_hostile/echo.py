"""A detector that behaves, and what the hostile ones have in common with it."""

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
    """One label made of the image's key: ``cats/tom.jpg`` is a ``tom``, with certainty.

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
    """How the service that ``echo`` plays performs. Nothing here changes what it finds."""

    latency_ms: Annotated[float, Field(ge=0), Operational()] = 0
    """How long a call takes, in milliseconds."""
    max_batch_size: Annotated[int, Field(ge=1), Operational()] = 1
    """Most images in one call."""
    max_concurrency: Annotated[int, Field(ge=1), Operational()] = 8
    """How many calls run at once."""
    requests_per_second: Annotated[float | None, Field(gt=0), Operational()] = None
    """Most calls a second; none for no limit."""
    usd_per_unit: Annotated[Decimal, Field(ge=0), Operational()] = Decimal(0)
    """Price of one image, in US dollars."""


class Echo(Detector[EchoOptions]):
    """Works correctly: returns one label made from the key, downloads nothing."""

    name: ClassVar[str] = "echo"
    version: ClassVar[str] = "1"

    @property
    def capabilities(self) -> Capabilities:
        """As the options say; the image is never read."""
        options = self.options
        return Capabilities(
            input=Input.REFERENCE,
            max_batch_size=options.max_batch_size,
            max_concurrency=options.max_concurrency,
            requests_per_second=options.requests_per_second,
            usd_per_unit=options.usd_per_unit,
        )

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Take as long as the service would, then answer."""
        if self.options.latency_ms:
            time.sleep(self.options.latency_ms / 1_000)
        return [found(image) for image in images]


class HostileOptions(DetectorOptions):
    """What every hostile detector can be told."""

    max_batch_size: Annotated[int, Field(ge=1), Operational()] = 1
    """Most images in one call."""
    max_concurrency: Annotated[int, Field(ge=1), Operational()] = 1
    """How many calls run at once."""


HostileOptionsT = TypeVar("HostileOptionsT", bound=HostileOptions)


class Hostile(Detector[HostileOptionsT], Generic[HostileOptionsT]):
    """Base of the hostile detectors: they work by reference and find what ``echo`` finds."""

    version: ClassVar[str] = "1"

    @property
    def capabilities(self) -> Capabilities:
        """As the options say."""
        options = self.options
        return Capabilities(
            input=Input.REFERENCE,
            max_batch_size=options.max_batch_size,
            max_concurrency=options.max_concurrency,
        )

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Behave, unless a subclass knows worse."""
        return [found(image) for image in images]
