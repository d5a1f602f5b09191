"""Create, start and call a detector as a worker does, and watch it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import PurePosixPath
from threading import Thread
from types import TracebackType
from typing import Any, Self, TypeVar

from retinue_sdk.box import BoundingBox
from retinue_sdk.decode import Pixels
from retinue_sdk.detection import Findings
from retinue_sdk.detector import AnyDetector, AsyncDetector, Capabilities, JobDetector, Result
from retinue_sdk.errors import (
    ConfigurationError,
    DetectorError,
    format_error,
    format_plugin_frames,
)
from retinue_sdk.image import WHOLE, Image
from retinue_sdk.limits import ImageLimits
from retinue_sdk.options import DetectorOptions
from retinue_sdk.reference import ImageReference
from retinue_sdk.testing.event_loop import EventLoopThread
from retinue_sdk.testing.subject import Subject

T = TypeVar("T")

CLOSE_SECONDS = 10.0
"""Seconds that ``close`` may take at the end of a check. Then it is abandoned."""


class CheckFailedError(AssertionError):
    """A detector violates a check. The message has the remedy."""


class WatchedImage(Image):
    """An image that records which of its methods were called.

    Attributes:
        touched: The called methods among ``read`` and ``pixels``.
    """

    def __init__(
        self,
        reference: ImageReference,
        load: Callable[[], bytes],
        *,
        limits: ImageLimits | None = None,
        size_bytes: int | None = None,
    ) -> None:
        super().__init__(reference, load, limits=limits, size_bytes=size_bytes)
        self.touched: set[str] = set()

    def read(self) -> bytes:
        """Return the bytes, and record the call."""
        self.touched.add("read")
        return super().read()

    def pixels(self) -> Pixels:
        """Return the pixels, and record the call."""
        self.touched.add("pixels")
        return super().pixels()

    def resized_pixels(self, width: int, height: int, *, part: BoundingBox = WHOLE) -> Pixels:
        """Return the pixels, and record the call as one of ``pixels``."""
        self.touched.add("pixels")
        return super().resized_pixels(width, height, part=part)


class Bench:
    """One detector for one check, as a context manager that closes it.

    Calls are made as by a worker, with a time limit. A ``Detector`` is called on a different thread
    from ``start``, and an error that it raises applies to every image of the batch. The coroutines
    of an ``AsyncDetector`` run on one event loop.

    Args:
        subject: The detector under test.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._detector: AnyDetector | None = None
        self._made: AnyDetector | None = None
        self._event_loop: EventLoopThread | None = None

    def __enter__(self) -> Self:
        """Return the bench. The detector is created when a check first uses it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the detector, and ignore its errors. Another check tests closing."""
        detector, self._detector = self._detector, None
        if detector is not None:
            with suppress(Exception):
                self._close(detector, min(CLOSE_SECONDS, self._seconds))
        if self._event_loop is not None:
            self._event_loop.close()

    @property
    def capabilities(self) -> Capabilities:
        """Return the detector's capabilities with these options."""
        if self._made is None:
            self._made = self.make()
        made = self._made
        return self._within(lambda: made.capabilities, "capabilities", self._seconds)

    @property
    def detector(self) -> AnyDetector:
        """Return the detector, started.

        Raises:
            CheckFailedError: It can't be created or started.
        """
        if self._detector is None:
            detector = self.make()
            self.start(detector)
            self._detector = detector
        return self._detector

    def options(self) -> DetectorOptions:
        """Return the subject's options, validated.

        Raises:
            ValidationError: The options are invalid.
        """
        return self.subject.detector.options_model.model_validate(dict(self.subject.options))

    def make(self) -> AnyDetector:
        """Create another detector with the same options. Don't start it.

        Raises:
            CheckFailedError: It can't be created, or not in time.
            ValidationError: The options are invalid.
        """
        options = self.options()
        return self._within(
            lambda: self.subject.detector(options), "the constructor", self._seconds
        )

    def fingerprint(self, detector: AnyDetector) -> str:
        """Return the detector's fingerprint.

        Raises:
            CheckFailedError: The call raised, or took too long.
        """
        return self._within(detector.fingerprint, "fingerprint()", self._seconds)

    def start(self, detector: AnyDetector) -> None:
        """Start a detector.

        Raises:
            CheckFailedError: It doesn't start. The message has the reason.
        """
        try:
            if isinstance(detector, AsyncDetector):
                self._await(detector.start(), "start()", self._seconds)
            else:
                self._within(detector.start, "start()", self._seconds)
        except (DetectorError, ConfigurationError) as error:
            raise CheckFailedError(
                f"the detector does not start: {type(error).__name__}: {error}"
            ) from error

    def close(self, detector: AnyDetector) -> None:
        """Close a detector.

        Raises:
            CheckFailedError: It takes too long.
        """
        self._close(detector, self._seconds)

    def image(self, data: bytes, name: str = "photograph.png") -> WatchedImage:
        """Return a file as an image, at a place where the detector's service can read it."""
        store = self.subject.store
        reference = Image.from_bytes(data, key=name).reference
        if store is not None:
            reference = store(data, name)
        return WatchedImage(reference, lambda: data, size_bytes=len(data))

    def photographs(self) -> list[WatchedImage]:
        """Return new images of the subject's photographs."""
        return [
            self.image(data, f"photograph-{number}{_suffix(data)}")
            for number, data in enumerate(self.subject.photographs)
        ]

    def detect(
        self, images: Sequence[Image], detector: AnyDetector | None = None
    ) -> Sequence[Result]:
        """Return the detector's answers, one for each image.

        Raises:
            CheckFailedError: It raised an error other than ``DetectorError``, exceeded the time
                limit, or didn't return one result for each image.
        """
        called = detector or self.detector
        names = ", ".join(PurePosixPath(image.reference.key).name for image in images)
        what = f"detect() of {names}"
        answer: Sequence[Result]
        if isinstance(called, AsyncDetector):
            answer = self._await(_detect_each(called, images), what, self._seconds)
        elif isinstance(called, JobDetector):
            raise CheckFailedError(f"{called!r} processes videos in jobs, not images")
        else:
            blocking = called
            try:
                answer = self._within(lambda: list(blocking.detect(images)), what, self._seconds)
            except DetectorError as error:
                return [error] * len(images)
        if len(answer) != len(images):
            raise CheckFailedError(f"{len(answer)} answers for {len(images)} images: {names}")
        for result in answer:
            if not isinstance(result, Findings | DetectorError):
                raise CheckFailedError(
                    f"an answer for {names} is {result!r:.200}: no Findings, no error"
                )
        return answer

    def single(self, image: Image, detector: AnyDetector | None = None) -> Result:
        """Return the detector's answer for one image alone."""
        return self.detect([image], detector)[0]

    def found(self, image: Image, detector: AnyDetector | None = None) -> Findings:
        """Return the findings in an image that the detector must be able to process.

        Raises:
            CheckFailedError: The answer is an error.
        """
        result = self.single(image, detector)
        if isinstance(result, DetectorError):
            raise CheckFailedError(
                f"{image.reference.key} was answered with {type(result).__name__}: {result}"
            ) from result
        return result

    @property
    def _seconds(self) -> float:
        return self.subject.timeout_seconds

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a check's coroutine on the detector's event loop.

        Raises:
            CheckFailedError: It raised an error other than ``DetectorError``, or took too long.
        """
        return self._await(coroutine, "the check", 3 * self._seconds)

    def _close(self, detector: AnyDetector, seconds: float) -> None:
        if isinstance(detector, AsyncDetector):
            self._await(detector.close(), "close()", seconds)
        else:
            self._within(detector.close, "close()", seconds)

    def _await(self, coroutine: Coroutine[Any, Any, T], what: str, seconds: float) -> T:
        """Run a coroutine on the event loop. Cancel it if it hangs."""
        if self._event_loop is None:
            self._event_loop = EventLoopThread()
        return _outcome(self._event_loop.submit(coroutine), what, seconds)

    def _within(self, call: Callable[[], T], what: str, seconds: float) -> T:
        """Call a function on a new thread. Abandon the thread if it hangs."""
        future: Future[T] = Future()

        def work() -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - returned to the caller
                future.set_exception(error)

        Thread(target=work, name=f"check {what}", daemon=True).start()
        return _outcome(future, what, seconds)


async def _detect_each(detector: AsyncDetector[Any], images: Sequence[Image]) -> list[Result]:
    async def detect(image: Image) -> Result:
        try:
            return await detector.detect(image)
        except DetectorError as error:
            return error

    return await asyncio.gather(*map(detect, images))


def _outcome(future: "Future[T]", what: str, seconds: float) -> T:
    """Return a call's result.

    Raises:
        DetectorError: The call raised it.
        ConfigurationError: The call raised it.
        CheckFailedError: The call raised something else, or hangs.
    """
    wait([future], seconds)
    if not future.done():
        future.cancel()
        raise CheckFailedError(f"{what} did not end within {seconds:g} seconds")
    error = None if future.cancelled() else future.exception()
    if isinstance(error, DetectorError | ConfigurationError | CheckFailedError):
        raise error
    if error is not None or future.cancelled():
        raised = error or asyncio.CancelledError()
        raise CheckFailedError(
            f"{what} raised {format_error(raised)}{format_plugin_frames(raised)}"
        ) from error
    return future.result()


def _suffix(data: bytes) -> str:
    return ".png" if data.startswith(b"\x89PNG") else ".jpg"
