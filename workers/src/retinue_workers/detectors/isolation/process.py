"""One process of an isolated detector, from the worker's side."""

from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal

import structlog
from retinue_sdk import DetectorError, Findings, Image, InvalidImageError

from retinue_workers.detectors.isolation import child
from retinue_workers.detectors.isolation.child_process import ChildProcess
from retinue_workers.detectors.isolation.protocol import (
    answer_of,
    billed_of,
    error_data,
    error_of,
    reference_data,
    unpack,
)

log = structlog.get_logger(__name__)


class DetectorProcess(ChildProcess):
    """A process with a detector in it. Only one thread at a time may call it; any may kill it.

    Args:
        name: The detector's name.
        spec: The description of the detector.

    Attributes:
        model_version: The latest model version that the detector reported.
        calls: Number of calls that it has answered.
    """

    def __init__(self, name: str, spec: "child.DetectorSpec") -> None:
        """Start the process. ``ready`` is set when its detector has started."""
        super().__init__(name, child.main, spec)
        self.model_version: str | None = None
        self.calls = 0
        self._ready = False

    def ready(self, patience_seconds: float | None) -> bool:
        """Wait until the detector has started. Return ``False`` if that takes longer.

        Raises:
            DetectorCrashedError: The process ended.
            RetinueError: The detector's ``start`` raised it.
        """
        if self._ready:
            return True
        with self.explaining():
            if not self.poll(patience_seconds):
                return False
            message = self.receive()
        if "error" in message:
            if "traceback" in message:
                log.error("detector_start_failed", detector=self.name, why=message["traceback"])
            raise error_of(message["error"])
        self.model_version = message["model_version"]
        self._ready = True
        return True

    def detect(
        self, images: Sequence[Image], *, with_pixels: bool, max_bytes: int
    ) -> list[Findings | DetectorError]:
        """Send images to the detector and return its answers.

        Args:
            images: The images.
            with_pixels: Whether to send their pixels, too. Those of videos' frames are always sent.
            max_bytes: Maximum size of the answers in bytes.

        Raises:
            DetectorCrashedError: The process ended.
        """
        pixels = {
            index: image.pixels()
            for index, image in enumerate(images)
            if with_pixels or not image.has_file
        }
        with self.explaining():
            self.send(
                {
                    "detect": [
                        {
                            "reference": reference_data(image.reference),
                            "size_bytes": image.size_bytes,
                            "shape": pixels[index].shape if index in pixels else None,
                            "has_file": image.has_file,
                        }
                        for index, image in enumerate(images)
                    ],
                    "max_bytes": max_bytes,
                    "frames": len(pixels),
                }
            )
            for array in pixels.values():
                self.send_frame(array.data.cast("B"))
            while "load" in (message := self.receive()):
                self._load(images, message["load"])
            frames = [self.receive_frame(max_bytes) for _ in images]
        self.calls += 1
        self.model_version = message["model_version"]
        if "traceback" in message:
            log.error("detector_raised", detector=self.name, why=message["traceback"])
        return [read_answer(frame) for frame in frames]

    def close(self, patience_seconds: float) -> None:
        """Let the detector close, and end the process. Kill it if that takes too long."""
        with suppress(OSError, ValueError):
            self.send({"close": True})
            self.join(patience_seconds)
        self.kill("the worker stops")

    def _load(self, images: Sequence[Image], index: int) -> None:
        """Send the bytes of an image, or the error of loading them."""
        try:
            data = images[index].read()
        except Exception as error:  # noqa: BLE001 - the detector is to know
            self.send({"error": error_data(error)})
        else:
            self.send({"frames": 1})
            self.send_frame(data)


def read_answer(frame: bytes) -> Findings | DetectorError:
    """Decode and check one answer. The process may be corrupted.

    Raises:
        ConfigurationError: The detector raised it.
    """
    billed_units = Decimal(0)
    try:
        data = unpack(frame)
        billed_units = billed_of(data)
        answer = answer_of(data)
    except Exception as error:  # noqa: BLE001 - any value of any type can be in it
        return InvalidImageError(
            f"the answer cannot be read: {type(error).__name__}: {error}",
            code="invalid_result",
            retryable=True,
            billed_units=billed_units,
        )
    if isinstance(answer, Findings | DetectorError):
        return answer
    raise answer
