"""A plugin of one file: detectors that read the bytes of an image from S3."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Annotated, ClassVar

from pydantic import Field
from retinue_sdk import (
    Capabilities,
    Detection,
    Detector,
    DetectorOptions,
    Findings,
    FutureDetector,
    Image,
    Input,
    Operational,
    Result,
    hookimpl,
)


class WeighOptions(DetectorOptions):
    """How it works."""

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


class WeighLater(FutureDetector[WeighOptions]):
    """The same, and the answer comes a little later."""

    name: ClassVar[str] = "weigh-later"
    version: ClassVar[str] = "1"

    @property
    def capabilities(self) -> Capabilities:
        """Bytes."""
        return Capabilities(Input.BYTES, max_concurrency=self.options.max_concurrency)

    def start(self) -> None:
        """Run a loop."""
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="weigh-later", daemon=True)
        self._thread.start()

    def submit(self, image: Image) -> Future[Result]:
        """Begin to weigh."""
        return asyncio.run_coroutine_threadsafe(self._weigh(len(image.read())), self._loop)

    async def _weigh(self, size_bytes: int) -> Result:
        await asyncio.sleep(0.02)
        return Findings((Detection("size", f"{size_bytes} bytes", 1.0),))

    def close(self) -> None:
        """End the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@hookimpl
def retinue_register_detectors(register):  # type: ignore[no-untyped-def]  # as authors write it
    """Register the detectors."""
    register(Weigh)
    register(WeighLater)
