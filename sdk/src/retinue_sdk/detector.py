"""The base classes of detectors: synchronous, asynchronous, and those of jobs."""

import inspect
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, get_args, get_origin

from retinue_sdk.detection import Findings
from retinue_sdk.errors import DetectorError
from retinue_sdk.image import Image
from retinue_sdk.json_value import Json
from retinue_sdk.local_service import LocalService
from retinue_sdk.managed_model import ManagedModel
from retinue_sdk.options import DetectorOptions
from retinue_sdk.price import Price
from retinue_sdk.rate_limits import LocalRateLimiter, RateLimited, RateLimiter
from retinue_sdk.training import Trainer
from retinue_sdk.video import Video

OptionsT = TypeVar("OptionsT", bound=DetectorOptions)

Result: TypeAlias = Findings | DetectorError
"""The answer for one image: findings, possibly without detections, or an error."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Input(StrEnum):
    """The form of an image that a detector needs.

    The worker prepares it before it calls ``detect``.
    """

    REFERENCE = "reference"
    """Only ``image.reference``: the service reads S3 itself, and the worker downloads nothing."""
    BYTES = "bytes"
    """``image.read()``: the file as it was uploaded."""
    PIXELS = "pixels"
    """``image.pixels()``: decoded RGB, upright."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The values that the worker needs to call a detector.

    Attributes:
        input: The form of an image that the detector uses.
        max_batch_size: Maximum number of images in one call of ``detect``; 1 or more. An
            ``AsyncDetector`` always gets one image.
        max_wait_ms: How long an image waits for a full batch, in milliseconds, 0 or more. An image
            with bytes or pixels only waits while others are being loaded. With 0, the worker sends
            the images that are ready.
        max_concurrency: Maximum number of concurrent calls of ``detect``; 1 or more. Each
            call of a ``Detector`` runs on a thread of its own, so use more than 1 only if
            ``detect`` is thread-safe. The calls of an ``AsyncDetector`` are coroutines, and
            hundreds of them are fine.
        requests_per_second: Maximum number of calls of ``detect`` per second; ``None`` for no
            limit.
        usd_per_unit: Price of one billed unit in US dollars, 0 or more. A price in the settings
            overrides it. For a price that changes with the month's units, use ``prices``.
        prices: Tiered prices of a billed unit; several if a unit counts in several billing groups.
            They override ``usd_per_unit``, and the settings override them.
        quotas: Maximum number of calls of a service per second, by the name of the quota. The
            detector enters ``rate_limited`` for each such call, and all workers with the same
            history share the quota.
        max_jobs: Maximum number of jobs under way at the service, for a ``JobDetector``; 1 or more.
            All workers with the same history share it, and so do all detectors with the same
            ``job_group``.
        job_group: The name under which jobs are counted.
        device: The device on which the detector computes, for ``retinue plugins`` and the metrics.

    Raises:
        ValueError: A value is outside its range.
    """

    input: Input
    max_batch_size: int = 1
    max_concurrency: int = 1
    requests_per_second: float | None = None
    usd_per_unit: Decimal = Decimal(0)
    prices: tuple[Price, ...] = ()
    quotas: Mapping[str, float] = field(default_factory=dict)
    max_jobs: int = 1
    job_group: str = ""
    max_wait_ms: float = 0.0
    device: str = ""

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for values with which the detector could never be called."""
        for name in ("max_batch_size", "max_concurrency", "max_jobs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)!r}")
        if not 0 <= self.max_wait_ms < math.inf:
            raise ValueError(f"max_wait_ms must be 0 or more, not {self.max_wait_ms}")
        if self.requests_per_second is not None and not self.requests_per_second > 0:
            raise ValueError(f"requests_per_second must be above 0, not {self.requests_per_second}")
        if not self.usd_per_unit.is_finite() or self.usd_per_unit < 0:
            raise ValueError(f"usd_per_unit must be 0 or more, not {self.usd_per_unit}")
        for quota, rate in self.quotas.items():
            if not 0 < rate < math.inf:
                raise ValueError(f"the quota {quota} must be above 0 and finite, not {rate}")


class CommonDetector(ABC, Generic[OptionsT]):
    """The common base of all kinds of detector: name, options, capabilities, model.

    Attributes:
        name: Name of the detector: lower-case words joined by hyphens, unique among all
            plugins.
        version: The version of this code. A new version makes Retinue process every image again,
            so change it when findings change.
        options_model: The options' class, taken from ``Detector[...]``.
        local_service: The program that replaces the detector's service on a laptop, if any.
        options: This detector's options.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    options_model: ClassVar[type[DetectorOptions]] = DetectorOptions
    local_service: ClassVar[LocalService | None] = None
    _rate_limiter: RateLimiter | None = None
    _stage_observer: Callable[[str, float], None] | None = None

    def __init__(self, options: OptionsT) -> None:
        """Keep the options. Load models in ``start``, not here."""
        self.options = options

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Find the options model.

        Raise ``TypeError`` for a detector without valid options, name and version.
        """
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, DetectorOptions):
                    cls.options_model = argument
                elif (
                    isinstance(argument, type)
                    and argument is not Any
                    and getattr(get_origin(base), "__module__", "") == __name__
                ):
                    raise TypeError(
                        f"the options of {cls.__name__} must be a subclass of "
                        f"retinue_sdk.DetectorOptions, not {argument.__name__}"
                    )
        if inspect.isabstract(cls):
            return
        name = getattr(cls, "name", None)
        if name is None:
            return  # a shared base class; registering it fails
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise TypeError(f"{cls.__name__}.name must be lower-case words and hyphens: {name!r}")
        version = getattr(cls, "version", None)
        if not isinstance(version, str) or not version:
            raise TypeError(f"{cls.__name__}.version must be a text such as '1.0'")
        if inspect.isfunction(inspect.getattr_static(cls, "capabilities", None)):
            raise TypeError(
                f"{cls.__name__}.capabilities is a method: write @property above it, or set an "
                "attribute of the class"
            )

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """Return the capabilities.

        A subclass sets a class attribute, or a property that uses options.
        """

    @property
    def model_version(self) -> str | None:
        """Return the model's version if it is the same for all images, otherwise ``None``.

        ``Findings.model_version`` overrides it.
        """
        return None

    def model_fingerprint(self) -> str:
        """Return a text that identifies the model, if the options don't.

        If an option is a path, return a hash of the weights, because the file can change. Called
        after the constructor, before ``start``.
        """
        return ""

    @property
    def managed_model(self) -> ManagedModel | None:
        """Return the model to host while there is work, if the detector has one that costs money.

        The worker starts the model when messages wait and stops it when none are left. It reads
        this property once, after the constructor, and uses the model on a separate thread.
        """
        return None

    @classmethod
    def find_models(cls, patterns: Sequence[str]) -> Sequence[ManagedModel]:
        """Return the provider's models that are billed now, including those that no worker started.

        Args:
            patterns: Shell patterns for the provider's names of models or groups of models.
        """
        del patterns
        return ()

    @classmethod
    def trainer(cls) -> Trainer | None:
        """Return the trainer of models for this detector, for `retinue models train`, if any."""
        return None

    @property
    def rate_limiter(self) -> RateLimiter:
        """Return the worker's rate limiter. Outside a worker, it limits this detector alone."""
        if self._rate_limiter is None:
            self._rate_limiter = LocalRateLimiter(self.capabilities.quotas)
        return self._rate_limiter

    @rate_limiter.setter
    def rate_limiter(self, rate_limiter: RateLimiter) -> None:
        self._rate_limiter = rate_limiter

    def rate_limited(self, quota: str) -> RateLimited:
        """Return a context manager that waits until a call against ``quota`` is allowed.

        Use it as ``async with`` in an ``AsyncDetector`` and as ``with`` in a ``Detector``. A
        ``RetriableError(throttled=True)`` that leaves the block slows later calls down. Waiting
        does not count against the detector's timeout.

        Args:
            quota: A name in ``capabilities.quotas``.

        Raises:
            StoppedError: On entry, if the worker is stopping.
            ValueError: On entry, if the capabilities do not name the quota.
        """
        return RateLimited(self.rate_limiter, quota)

    def observe_stages(self, observer: Callable[[str, float], None]) -> None:
        """Call ``observer`` with the stages that the detector reports, for the worker."""
        self._stage_observer = observer

    def on_stage(self, stage: str, seconds: float) -> None:
        """Report the duration of a part of the work, for the metric ``retinue_stage_seconds``.

        Call it on any thread, for example with ``copy``, ``compute`` and ``post`` of a batch.

        Args:
            stage: One of a few words.
            seconds: How long it took.
        """
        if self._stage_observer is not None:
            self._stage_observer(stage, seconds)

    def describe(self) -> Mapping[str, Json]:
        """Return facts about the started model, for `retinue models verify`.

        Such as inputs, outputs, preprocessing and labels.
        """
        return {}

    def fingerprint(self) -> str:
        """Return 32 hex digits for the run key: the options and the model they name.

        Raises:
            TypeError: ``model_fingerprint`` doesn't return text.
        """
        model = self.model_fingerprint()
        if not isinstance(model, str):
            raise TypeError(f"model_fingerprint must return text, not {type(model).__name__}")
        return self.options.fingerprint(model)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.version}>"


class Detector(CommonDetector[OptionsT]):
    """A detector with a synchronous ``detect``. It runs on threads, in batches.

    Subclass it as ``class Blur(Detector[BlurOptions])``, set ``name``, ``version`` and
    ``capabilities``, and write ``detect``. The worker creates one instance with validated options.
    It calls ``start`` once (again after ``DetectorNotReadyError``), ``detect`` for each batch, and
    ``close`` at the end.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Raise ``TypeError`` for a method that is a coroutine, which nothing would await."""
        super().__init_subclass__(**kwargs)
        for name in ("start", "prepare", "detect", "close"):
            method = inspect.getattr_static(cls, name)
            if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
                raise TypeError(
                    f"{cls.__name__}.{name} is a coroutine: derive the class from AsyncDetector, "
                    "or write the method without async"
                )

    def start(self) -> None:
        """Load the model and open connections. Called before the first image.

        Raises:
            ConfigurationError: An option can't work. The worker stops and names it.
            DetectorNotReadyError: The detector can't work yet. The worker receives no messages and
                calls again.
        """
        return

    def prepare(self, image: Image) -> object:
        """Prepare an image for ``detect``: decode it, resize it, and return the result.

        Optional. Write it if ``capabilities.input`` is ``Input.PIXELS`` and resizing takes time.
        The worker calls it on the threads that load images, while ``detect`` computes other
        images, and then frees the image's pixels. ``image.resized_pixels`` decodes faster.

        Get the result by ``image.prepared(self.prepare)`` in ``detect``, which calls this method if
        the worker hasn't, or couldn't: it may be called before ``start`` has ended, and after
        ``close``, and then raises ``DetectorNotReadyError``. It must be thread-safe, and return the
        same for the same image.

        Raises:
            DetectorError: As for ``image.pixels``.
        """
        raise NotImplementedError(image)

    @abstractmethod
    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Process the images.

        Args:
            images: 1 to ``capabilities.max_batch_size`` images.

        Returns:
            For each image, in order: its ``Findings``, or a ``DetectorError`` (returned, not
            raised) that says why the detector could not process it.

        Raises:
            DetectorError: It applies to every image of the batch.
        """

    def close(self) -> None:
        """Release everything that ``start`` acquired.

        Called once at the end, unless a call hangs.
        """
        return


class AsyncDetector(CommonDetector[OptionsT]):
    """A detector whose ``detect`` is a coroutine. It processes many images concurrently.

    Write it for a detector that waits for a service, such as an HTTP model server. Subclass it as
    ``class Blur(AsyncDetector[BlurOptions])``. The worker runs all methods on its event loop, so
    they must ``await`` every wait. If a call computes for more than a few milliseconds, write a
    ``Detector`` instead.
    """

    async def start(self) -> None:
        """Open connections. Called before the first image, on the event loop.

        Raises:
            ConfigurationError: An option can't work. The worker stops and names it.
            DetectorNotReadyError: The detector can't work yet. The worker receives no messages and
                calls again.
        """
        return

    @abstractmethod
    async def detect(self, image: Image) -> Findings:
        """Process one image.

        The worker runs up to ``capabilities.max_concurrency`` calls at a time and cancels a call
        that exceeds its timeout.

        Args:
            image: The image. The form that ``capabilities.input`` declares is already loaded, so
                reading it does not block.

        Raises:
            DetectorError: The detector could not process the image. Its class tells the worker what
                to do next.
        """

    async def close(self) -> None:
        """Release everything that ``start`` acquired. Called once at the end."""
        return


class JobDetector(CommonDetector[OptionsT]):
    """A detector whose service processes a video in a job, for minutes or hours.

    The worker starts the job, looks for its end and records its result as one run. Between these
    calls the job is a row in the history, so that neither a crash nor a stop loses it or pays for
    it twice. Other workers may make the later calls. ``capabilities.input`` is
    ``Input.REFERENCE``: the service reads S3 itself.

    All methods are coroutines on the worker's event loop and must ``await`` every wait.
    """

    async def start(self) -> None:
        """Open connections. Called before the first video, on the event loop.

        Raises:
            ConfigurationError: An option can't work. The worker stops and names it.
            DetectorNotReadyError: The detector can't work yet. Its jobs wait, and the worker calls
                again.
        """
        return

    @abstractmethod
    def units(self, video: Video) -> Decimal:
        """Return the number of units that the service will bill, to check the budget.

        Args:
            video: The video. If its duration is unknown, assume the longest that is allowed.

        Raises:
            InvalidImageError: The service can't process the video (codec, size, duration).
        """

    @abstractmethod
    async def start_job(self, video: Video, *, token: str, tag: str) -> str:
        """Start the job for a video and return the service's id of it.

        A call with the same video and token must return the same job and start no second one:
        the worker repeats the call if it doesn't know whether the last one took effect.

        Args:
            video: The video.
            token: Identifies the attempt; 43 characters of ``[a-zA-Z0-9-_]``.
            tag: A tag for the service's messages: ``retinue/`` and the token.

        Raises:
            RetriableError: The service can't start it now. The job stays wanted. With
                ``throttled``, the service surely didn't start it, for example because too many
                jobs are under way; otherwise it may have, and the job keeps its slot.
            InvalidImageError: The service can never process the video.
            DetectorNotReadyError: The service can't start any job at the moment.
            JobLostError: The token started a job whose id the service no longer returns. The
                worker starts another one.
        """

    @abstractmethod
    async def job_result(self, job_id: str, video: Video) -> Findings | None:
        """Return the result of a job, or ``None`` while it is under way.

        Read a long result in a stream: memory must not grow with the number of samples, only with
        the number of appearances.

        Args:
            job_id: The service's id of the job.
            video: The video.

        Raises:
            JobLostError: The service no longer has the job.
            RetriableError: The service can't answer now.
            InvalidImageError: The job failed, and another one would fail too.
            DetectorError: The job failed. Another one may succeed.
        """

    async def close(self) -> None:
        """Release everything that ``start`` acquired. Called once at the end."""
        return


ImageDetector: TypeAlias = Detector[Any] | AsyncDetector[Any]
"""A detector of images of either kind, with any options."""

AnyDetector: TypeAlias = Detector[Any] | AsyncDetector[Any] | JobDetector[Any]
"""A detector of any kind, with any options."""

DETECTOR_KINDS = (Detector, AsyncDetector, JobDetector)
"""The base classes of detectors."""


def preparation_of(detector: object) -> Callable[[Image], object] | None:
    """Return a detector's ``prepare``; ``None`` if its class defines none.

    Other kinds of detectors have no such hook: a method of this name is their own.
    """
    if isinstance(detector, (AsyncDetector, JobDetector)):
        return None
    prepare: Callable[[Image], object] | None = getattr(detector, "prepare", None)
    return None if getattr(prepare, "__func__", None) is Detector.prepare else prepare


def detector_class(candidate: object) -> type[AnyDetector]:
    """Return ``candidate`` as a detector class that can be registered.

    Raises:
        TypeError: It is not a concrete subclass of ``Detector``, ``AsyncDetector`` or
            ``JobDetector`` with a name and a version.
    """
    if not (isinstance(candidate, type) and issubclass(candidate, DETECTOR_KINDS)):
        raise TypeError(
            "only subclasses of Detector, AsyncDetector or JobDetector can be registered, "
            f"not {candidate!r}"
        )
    if inspect.isabstract(candidate):
        missing = ", ".join(sorted(candidate.__abstractmethods__))
        raise TypeError(f"{candidate.__name__} does not define {missing}")
    if not hasattr(candidate, "name") or not hasattr(candidate, "version"):
        raise TypeError(f"{candidate.__name__} needs a name and a version")
    return candidate
