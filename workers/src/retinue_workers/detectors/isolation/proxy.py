"""The proxy of a detector that runs in separate processes."""

import pickle
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock

import structlog
from retinue_sdk import (
    AnyDetector,
    Capabilities,
    ConfigurationError,
    DetectorNotReadyError,
    DetectorOptions,
    Image,
    ImageLimits,
    Input,
    Result,
    RetriableError,
)
from retinue_sdk.detector import preparation_of

from retinue_workers.detectors.errors import DetectorCrashedError, DetectorTimeoutError
from retinue_workers.detectors.isolation.child import DetectorSpec
from retinue_workers.detectors.isolation.process import DetectorProcess
from retinue_workers.detectors.isolation.supervisor import TIMED_OUT, ProcessSupervisor
from retinue_workers.limits.backoff import backoff_seconds
from retinue_workers.settings.isolation import Isolation

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 2.0
"""Seconds that a detector may take to close before its process is killed."""

START_PATIENCE_SECONDS = 2.0
"""Seconds that a call waits for a starting process before its images are retried later."""

PUT_OFF_SECONDS = 0.25
"""Seconds until an image is retried while a process starts."""


class IsolatedDetector:
    """A proxy that the runner calls instead of the detector. Each concurrent call has a process.

    The worker's own instance provides capabilities and fingerprint, and is never started.

    Args:
        detector: The worker's own instance.
        settings: The limits of a process.
        limits: Limits on the size of images.
        timeout_seconds: Time limit of a call. Then the process is killed.
        max_answer_bytes: Maximum size of the answer for one image, in bytes.

    Attributes:
        name: The detector's name.
        version: The detector's version.
        options: The detector's options.

    Raises:
        ConfigurationError: The detector has a quota, which its processes can't acquire.
    """

    def __init__(
        self,
        detector: AnyDetector,
        settings: Isolation,
        *,
        limits: ImageLimits,
        timeout_seconds: float,
        max_answer_bytes: int,
    ) -> None:
        if detector.capabilities.quotas:
            raise ConfigurationError(
                f"RETINUE_ISOLATION[{detector.name}]: this detector shares quotas with other "
                f"workers ({', '.join(detector.capabilities.quotas)}) and must run in the "
                "worker's own process"
            )
        self.name = detector.name
        self.version = detector.version
        self.options: DetectorOptions = detector.options
        self._own = detector
        self._prepares = preparation_of(detector) is not None
        self._settings = settings
        self._limits = limits
        self._timeout_seconds = timeout_seconds
        self._max_answer_bytes = max_answer_bytes
        self._supervisor: ProcessSupervisor[DetectorProcess] | None = None
        self._lock = Lock()
        self._idle: list[DetectorProcess] = []
        self._crashes = 0
        self._not_before = 0.0
        self._model_version: str | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Return the detector's capabilities."""
        return self._own.capabilities

    @property
    def model_version(self) -> str | None:
        """Return the model version that a process reported last."""
        return self._model_version

    def fingerprint(self) -> str:
        """Return the detector's fingerprint. Isolation doesn't change findings."""
        return self._own.fingerprint()

    def start(self) -> None:
        """Start a first process, to check that the detector can start.

        Raises:
            ConfigurationError: It can't.
            DetectorNotReadyError: It can't start yet.
        """
        supervisor = self._supervisor = self._supervisor or ProcessSupervisor(
            self.name, partial(DetectorProcess, self.name, self._specify())
        )
        process = supervisor.spawn()
        try:
            process.ready(None)
        except (ConfigurationError, DetectorNotReadyError):
            supervisor.end(process)
            raise
        except Exception as error:
            supervisor.end(process)
            raise ConfigurationError(f"cannot start in a process of its own: {error}") from error
        self._put_back(process)

    @property
    def prepare(self) -> Callable[[Image], object] | None:
        """Return a substitute for the detector's ``prepare``, if it has one.

        The process prepares images, because only its detector has started. The worker only
        measures them, for the history.
        """
        return Image.measure if self._prepares else None

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Call the detector in a process.

        Raises:
            DetectorCrashedError: The process ended during the call.
            RetriableError: A new process is starting, or is delayed after repeated crashes.
            DetectorNotReadyError: A new process can't start. No image is the cause.
            ConfigurationError: The detector's code or model was replaced since the worker started.
            DetectorError: The detector, or its ``start`` in a new process, raised it.
        """
        supervisor = self._supervisor
        if supervisor is None:
            raise DetectorNotReadyError(f"{self.name} has not started")
        deadline = time.monotonic() + self._timeout_seconds
        process = self._take(supervisor)
        try:
            with supervisor.guarding(process, deadline):
                answers = process.detect(
                    images,
                    with_pixels=self.capabilities.input is Input.PIXELS and not self._prepares,
                    max_bytes=self._max_answer_bytes * len(images),
                )
        except DetectorCrashedError as error:
            supervisor.end(process)
            if process.cause == TIMED_OUT:
                raise DetectorTimeoutError(self._timeout_seconds) from error
            has_limit = self._settings.max_memory_bytes is not None
            error.may_be_leak = has_limit and process.is_out_of_memory and process.calls > 0
            self._crashed(str(error))
            raise
        except BaseException:
            supervisor.end(process)  # it may be in the middle of a message
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
        """Kill every process immediately. Running calls fail."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.close()

    def _specify(self) -> DetectorSpec:
        """Return the description that a process creates the detector from."""
        kind = type(self._own)
        return DetectorSpec(
            kind.__module__,
            getattr(sys.modules.get(kind.__module__), "__file__", None),
            kind.__qualname__,
            pickle.dumps(self.options),
            self.version,
            self.fingerprint(),
            self._limits,
            self._settings.max_memory_bytes,
        )

    def _take(self, supervisor: ProcessSupervisor[DetectorProcess]) -> DetectorProcess:
        """Return a process that is ready. Raise what ``detect`` says."""
        with self._lock:
            process = self._idle.pop() if self._idle else None
        if process is not None and not process.alive:
            reason = process.explain()  # it crashed between two calls, so no image is the cause
            supervisor.end(process)
            log.warning("detector_process_lost", detector=self.name, reason=reason)
            process = None
        if process is None:
            wait = self._not_before - time.monotonic()
            if wait > 0:
                raise RetriableError(
                    f"the process of {self.name} crashed {self._crashes} times in a row",
                    retry_after_seconds=wait,
                )
            process = supervisor.spawn()
        try:
            ready = process.ready(min(START_PATIENCE_SECONDS, self._timeout_seconds / 2))
        except (ConfigurationError, DetectorNotReadyError, RetriableError):
            supervisor.end(process)
            raise
        except Exception as error:
            supervisor.end(process)
            if isinstance(error, DetectorCrashedError):
                self._crashed(str(error))
            raise DetectorNotReadyError(f"cannot start another process: {error}") from error
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
        """Schedule the next process: immediately after one crash, later after several."""
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
