"""Use a detector of images from synchronous code."""

import asyncio
from collections.abc import Sequence
from typing import Any, Self

from retinue_sdk.detector import AsyncDetector, CommonDetector, Detector, JobDetector, Result
from retinue_sdk.errors import ConfigurationError, DetectorError
from retinue_sdk.image import Image


class DetectorSession:
    """Starts a detector, calls it, and closes it, as a context manager.

    The coroutines of an ``AsyncDetector`` run on an event loop of the session's own, on the
    calling thread.

    Args:
        detector: The detector, not started.

    Raises:
        RetinueError: On entry, if the detector's ``start`` raised it, or if the detector processes
            videos.
    """

    def __init__(self, detector: CommonDetector[Any]) -> None:
        self.detector = detector
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        """Start the detector."""
        try:
            self.start()
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the detector."""
        try:
            self.close()
        finally:
            self._runner.close()

    def start(self) -> None:
        """Start the detector. Call it again after ``DetectorNotReadyError``."""
        match self.detector:
            case AsyncDetector() as detector:
                self._runner.run(detector.start())
            case Detector() as detector:
                detector.start()
            case JobDetector():
                raise ConfigurationError(
                    "it processes videos, in jobs of a service. Name it in RETINUE_DETECTORS, and "
                    "upload a video"
                )

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Call the detector.

        Args:
            images: 1 to ``capabilities.max_batch_size`` images for a ``Detector``; any number for
                an ``AsyncDetector``, which processes ``capabilities.max_concurrency`` concurrently.

        Returns:
            The findings or the error of each image, in order.

        Raises:
            DetectorError: Raised by a ``Detector``; it applies to every image.
        """
        match self.detector:
            case AsyncDetector() as detector:
                return self._runner.run(_detect_all(detector, images))
            case Detector() as detector:
                return detector.detect(images)
        raise TypeError(f"{self.detector!r} isn't a detector of images")

    def close(self) -> None:
        """Close the detector."""
        match self.detector:
            case AsyncDetector() as detector:
                self._runner.run(detector.close())
            case Detector() as detector:
                detector.close()


async def _detect_all(detector: AsyncDetector[Any], images: Sequence[Image]) -> list[Result]:
    free = asyncio.Semaphore(detector.capabilities.max_concurrency)

    async def detect(image: Image) -> Result:
        async with free:
            try:
                return await detector.detect(image)
            except DetectorError as error:
                return error

    return await asyncio.gather(*map(detect, images))
