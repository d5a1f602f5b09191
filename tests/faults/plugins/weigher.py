"""A plugin of one file: detectors that read an image from S3."""

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated, ClassVar

import structlog
from pydantic import Field
from retinue_sdk import (
    AsyncDetector,
    Capabilities,
    Detection,
    Detector,
    DetectorOptions,
    Findings,
    Image,
    Input,
    Operational,
    Result,
    hookimpl,
)


class WeighOptions(DetectorOptions):
    """The options of the detector."""

    max_concurrency: Annotated[int, Field(ge=1), Operational()] = 2
    """How many calls run at once."""


class Weigh(Detector[WeighOptions]):
    """Finds how many bytes an image has."""

    name: ClassVar[str] = "weigh"
    version: ClassVar[str] = "1"

    @property
    def capabilities(self) -> Capabilities:
        """Bytes."""
        return Capabilities(Input.BYTES, max_concurrency=self.options.max_concurrency)

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Weigh."""
        return [
            Findings((Detection("size", f"{len(image.read())} bytes", 1.0),)) for image in images
        ]


class WeighLater(AsyncDetector[WeighOptions]):
    """The same, and the answer comes a little later."""

    name: ClassVar[str] = "weigh-later"
    version: ClassVar[str] = "1"

    @property
    def capabilities(self) -> Capabilities:
        """Bytes."""
        return Capabilities(Input.BYTES, max_concurrency=self.options.max_concurrency)

    async def detect(self, image: Image) -> Findings:
        """Weigh."""
        await asyncio.sleep(0.02)
        return Findings((Detection("size", f"{len(image.read())} bytes", 1.0),))


class Measure(Detector[WeighOptions]):
    """Finds how many pixels an image has, slowly."""

    name: ClassVar[str] = "measure"
    version: ClassVar[str] = "1"
    capabilities = Capabilities(Input.PIXELS)

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Measure."""
        time.sleep(0.05)
        return [
            Findings((Detection("size", f"{image.pixels().size // 3} px", 1.0),))
            for image in images
        ]


class StartLate(Weigh):
    """The same, but its model takes minutes to load."""

    name: ClassVar[str] = "start-late"

    def start(self) -> None:
        """Load for longer than ECS waits after SIGTERM."""
        structlog.get_logger(__name__).info("model_loading")
        time.sleep(300)


@hookimpl
def retinue_register_detectors(register):  # type: ignore[no-untyped-def]  # as authors write it
    """Register the detectors."""
    register(Weigh)
    register(WeighLater)
    register(Measure)
    register(StartLate)
