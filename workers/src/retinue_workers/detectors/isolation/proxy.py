"""Stands in for a detector that works in processes of its own."""

import pickle
import sys
import time
from collections.abc import Sequence
from threading import Lock
from typing import Any, ClassVar, cast

import structlog
from retinue_sdk import (
    AnyDetector,
    Capabilities,
    ConfigurationError,
    Detector,
    DetectorNotReadyError,
    Image,
    ImageLimits,
    Input,
    Result,
    RetriableError,
)

from retinue_workers.detectors.isolation.child import Recipe
from retinue_workers.detectors.isolation.errors import DetectorCrashedError, DetectorTimeoutError
from retinue_workers.detectors.isolation.process import DetectorProcess
from retinue_workers.detectors.isolation.supervisor import TIMED_OUT, Nursery
from retinue_workers.limits.backoff import backoff_seconds
from retinue_workers.settings.isolation import Isolation

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 2.0
"""How long a detector may take to close before its process is killed."""

START_PATIENCE_SECONDS = 2.0
"""How long a call waits for a process that starts, before the image is put off."""

PUT_OFF_SECONDS = 0.25
"""How long an image is put off while a process starts."""


class IsolatedDetector(Detector[Any]):
    """The detector as a lane sees it; each concurrent call has a process, which is spawned.

    The worker's own instance is asked for its capabilities and its fingerprint, and never starts.

    Args:
        detector: The worker's own instance.
        terms: What a process may take.
        limits: How large an image may be.
        timeout_seconds: Longest call; after it the process is killed.
        max_answer_bytes: Most bytes of the answer for one image.
    """

    name: ClassVar[str]

    def __init__(
        self,
        detector: AnyDetector,
        terms: Isolation,
        *,
        limits: ImageLimits,
        timeout_seconds: float,
        max_answer_bytes: int,
    ) -> None:
        """Start nothing yet."""
        super().__init__(detector.options)
        self._own = detector
        kind = type(detector)
        file = getattr(sys.modules.get(kind.__module__), "__file__", None)
        self._recipe = Recipe(
            kind.__module__,
            file,
            kind.__qualname__,
            pickle.dumps(detector.options),
            limits,
            terms.max_memory_bytes,
        )
        self._timeout_seconds = timeout_seconds
        self._max_answer_bytes = max_answer_bytes
        self._nursery: Nursery | None = None
        self._lock = Lock()
        self._idle: list[DetectorProcess] = []
        self._crashes = 0
        self._not_before = 0.0
        self._model_version: str | None = None

    @property
    def capabilities(self) -> Capabilities:
        """The detector's own."""
        return self._own.capabilities

    @property
    def model_version(self) -> str | None:
        """What a process said last."""
        return self._model_version

    def fingerprint(self) -> str:
        """The detector's own: where it works changes nothing that it finds."""
        return self._own.fingerprint()

    def start(self) -> None:
        """Start a first process, to see that the detector can start.

        Raises:
            ConfigurationError: It cannot.
            DetectorNotReadyError: Not yet.
        """
        nursery = self._nursery = self._nursery or Nursery(self.name, self._recipe)
        process = nursery.spawn()
        try:
            process.ready(None)
        except (ConfigurationError, DetectorNotReadyError):
            nursery.end(process)
            raise
        except Exception as error:
            nursery.end(process)
            raise ConfigurationError(f"cannot start in a process of its own: {error}") from error
        self._put_back(process)

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Have a process look at the images.

        Raises:
            DetectorCrashedError: The process ended in the middle of it.
            RetriableError: A new process is still starting, or waits after crashes in a row.
            DetectorError: As the detector, or its ``start`` in a new process, raised it.
        """
        nursery = self._nursery
        if nursery is None:
            raise DetectorNotReadyError(f"{self.name} has not started")
        deadline = time.monotonic() + self._timeout_seconds
        process = self._take(nursery)
        try:
            with nursery.guarding(process, deadline):
                answers = process.detect(
                    images,
                    with_pixels=self.capabilities.input is Input.PIXELS,
                    max_bytes=self._max_answer_bytes * len(images),
                )
        except DetectorCrashedError as error:
            nursery.end(process)
            if process.cause == TIMED_OUT:
                raise DetectorTimeoutError(
                    f"no answer within {self._timeout_seconds:g} s",
                    code="detector_timeout",
                    retryable=True,
                ) from error
            self._crashed(str(error))
            raise
        except BaseException:
            nursery.end(process)  # it may be in the middle of a sentence
            raise
        self._crashes = 0
        self._put_back(process)
        return answers

    def close(self) -> None:
        """Let the processes close their detectors, and end them."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.close(CLOSE_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End every process now; calls under way fail."""
        nursery, self._nursery = self._nursery, None
        if nursery is not None:
            nursery.close()

    def _take(self, nursery: "Nursery") -> DetectorProcess:
        """A process that is ready."""
        with self._lock:
            process = self._idle.pop() if self._idle else None
        if process is not None and not process.alive:
            nursery.end(process)  # it crashed between two calls, and no image is to blame
            log.warning("detector_process_lost", detector=self.name, reason=process.explain())
            process = None
        if process is None:
            wait = self._not_before - time.monotonic()
            if wait > 0:
                raise RetriableError(
                    f"the process of {self.name} crashed {self._crashes} times in a row",
                    retry_after_seconds=wait,
                )
            process = nursery.spawn()
        try:
            ready = process.ready(min(START_PATIENCE_SECONDS, self._timeout_seconds / 2))
        except DetectorCrashedError as error:
            nursery.end(process)
            self._crashed(str(error))
            raise
        except BaseException:
            nursery.end(process)
            raise
        if not ready:
            self._put_back(process)
            raise RetriableError(
                f"the process of {self.name} is starting", retry_after_seconds=PUT_OFF_SECONDS
            )
        return process

    def _put_back(self, process: DetectorProcess) -> None:
        self._model_version = process.model_version
        with self._lock:
            self._idle.append(process)

    def _crashed(self, reason: str) -> None:
        """Start the next process at once after one crash, and ever later after several."""
        self._crashes += 1
        wait = backoff_seconds(self._crashes - 2) if self._crashes > 1 else 0.0
        self._not_before = time.monotonic() + wait
        log.error(
            "detector_crashed",
            detector=self.name,
            reason=reason,
            crashes=self._crashes,
            restart_after_seconds=round(wait, 1),
        )


def isolate(
    detector: AnyDetector,
    terms: Isolation,
    *,
    limits: ImageLimits,
    timeout_seconds: float,
    max_answer_bytes: int,
) -> IsolatedDetector:
    """The stand-in for a detector, under its name and version.

    Raises:
        ConfigurationError: It shares a quota with others, which its processes could not ask for.
    """
    if detector.capabilities.quotas:
        raise ConfigurationError(
            f"RETINUE_ISOLATION[{detector.name}]: it shares quotas with other workers "
            f"({', '.join(detector.capabilities.quotas)}) and must run in the worker's own process"
        )
    described = {"name": detector.name, "version": detector.version}
    kind = cast("type[IsolatedDetector]", type("Isolated", (IsolatedDetector,), described))
    return kind(
        detector,
        terms,
        limits=limits,
        timeout_seconds=timeout_seconds,
        max_answer_bytes=max_answer_bytes,
    )
