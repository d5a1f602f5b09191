"""What a plugin author writes: a detector."""

import inspect
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, get_args

from retinue_sdk.detection import Findings
from retinue_sdk.errors import DetectorError
from retinue_sdk.image import Image
from retinue_sdk.managed_model import ManagedModel
from retinue_sdk.options import DetectorOptions
from retinue_sdk.pacing import LocalPacer, Paced, Pacer
from retinue_sdk.price import Price
from retinue_sdk.stand_in import StandIn

OptionsT = TypeVar("OptionsT", bound=DetectorOptions)

Result: TypeAlias = Findings | DetectorError
"""What a detector answers for one image: findings (perhaps none), or why it could not look."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Input(StrEnum):
    """What a detector needs of an image; the worker has it ready before it calls ``detect``."""

    REFERENCE = "reference"
    """Only ``image.reference``: the service reads S3 itself, and nothing is downloaded."""
    BYTES = "bytes"
    """``image.read()``: the file as it was uploaded."""
    PIXELS = "pixels"
    """``image.pixels()``: decoded RGB, upright."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the worker must know to feed a detector well.

    Attributes:
        input: What of an image the detector uses.
        max_batch_size: Most images in one call of ``detect``; 1 or more. The worker sends what is
            ready and never waits to fill a batch.
        max_concurrency: How many calls of ``detect`` may run at once, each on a thread of its own;
            1 or more, and more than 1 only if ``detect`` is thread-safe. Of a ``FutureDetector``:
            how many images may be under way, without a thread for each.
        requests_per_second: Most calls of ``detect`` a second; ``None`` for no limit.
        usd_per_unit: Price of one billed unit in US dollars, 0 or more; a price in the settings
            goes before it. For a price that changes with the month's units, give ``prices``.
        prices: What a billed unit costs, in tiers; several where it counts in several price groups
            at once. They go before ``usd_per_unit``, and the settings before them.
        quotas: Most calls of a service a second, by the name of the quota. The detector asks
            ``paced`` before each such call, and all workers with the same history share the quota.

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

    def __post_init__(self) -> None:
        """Refuse a detector that could never be called."""
        for name in ("max_batch_size", "max_concurrency"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)!r}")
        if self.requests_per_second is not None and not self.requests_per_second > 0:
            raise ValueError(f"requests_per_second must be above 0, not {self.requests_per_second}")
        if not self.usd_per_unit.is_finite() or self.usd_per_unit < 0:
            raise ValueError(f"usd_per_unit must be 0 or more, not {self.usd_per_unit}")
        for quota, rate in self.quotas.items():
            if not 0 < rate < math.inf:
                raise ValueError(f"the quota {quota} must be above 0 and finite, not {rate}")


class Detector(ABC, Generic[OptionsT]):
    """Looks at images and tells what it finds.

    Subclass it as ``class Blur(Detector[BlurOptions])``, set ``name``, ``version`` and
    ``capabilities``, and write ``detect``. The worker makes one instance with validated options,
    calls ``start`` once (again after it raised ``DetectorNotReadyError``), then ``detect`` as often
    as there are images, and ``close`` at the end.

    Attributes:
        name: What users call it: lower-case words joined by hyphens, unique among all plugins.
        version: Of this code. A new version makes every image worth detecting again, so change it
            when findings change.
        options_model: The options' class, taken from ``Detector[...]``.
        stand_in: What answers on a laptop in place of the detector's service, if it has one.
        options: This detector's options.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    options_model: ClassVar[type[DetectorOptions]] = DetectorOptions
    stand_in: ClassVar[StandIn | None] = None
    _pacer: Pacer | None = None

    def __init__(self, options: OptionsT) -> None:
        """Keep the options. Load models in ``start``, not here."""
        self.options = options

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Find the options model, and refuse a detector without a proper name and version."""
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, DetectorOptions):
                    cls.options_model = argument
        if inspect.isabstract(cls):
            return
        name = getattr(cls, "name", None)
        if name is None:
            return  # a shared base class: whoever registers it is told
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise TypeError(f"{cls.__name__}.name must be lower-case words and hyphens: {name!r}")
        version = getattr(cls, "version", None)
        if not isinstance(version, str) or not version:
            raise TypeError(f"{cls.__name__}.version must be a text such as '1.0'")

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What the worker must know; a class attribute, or a property when options decide it."""

    @property
    def model_version(self) -> str | None:
        """The model's version, where one is known for all images; ``None`` otherwise.

        ``Findings.model_version`` goes before it.
        """
        return None

    def model_fingerprint(self) -> str:
        """What identifies the model, where the options' text does not.

        Give a hash of the weights when an option is a path, since another file may lie there
        tomorrow. Called after the constructor, before ``start``.
        """
        return ""

    @property
    def managed_model(self) -> ManagedModel | None:
        """The model that must run before images come, if it costs money while it does.

        The worker then starts it when work waits and stops it when none is left. Called once,
        after the constructor; the model is used from a thread of its own.
        """
        return None

    @classmethod
    def find_models(cls, patterns: Sequence[str]) -> Sequence[ManagedModel]:
        """The provider's models that cost money now, whoever started them.

        Args:
            patterns: Which: shell patterns of what the provider calls its models or groups of them.
        """
        del patterns
        return ()

    def start(self) -> None:
        """Load the model, open connections. Called before the first image.

        Raises:
            ConfigurationError: An option cannot work; the worker stops, naming it.
            DetectorNotReadyError: Not yet; the worker receives no message and calls again.
        """
        return

    @abstractmethod
    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Look at the images.

        Args:
            images: 1 to ``capabilities.max_batch_size`` images.

        Returns:
            For each image, in order: its ``Findings``, or a ``DetectorError`` (returned, not
            raised) telling why it could not be looked at.

        Raises:
            DetectorError: It holds for every image of the batch.
        """

    def close(self) -> None:
        """Release what ``start`` took. Called once at the end, unless a call hangs by then."""
        return

    @property
    def pacer(self) -> Pacer:
        """Who paces calls: the worker, or without one this detector alone."""
        if self._pacer is None:
            self._pacer = LocalPacer(self.capabilities.quotas)
        return self._pacer

    @pacer.setter
    def pacer(self, pacer: Pacer) -> None:
        self._pacer = pacer

    def paced(self, quota: str) -> Paced:
        """Wait until a call that counts against ``quota`` may be made; then make it inside.

        How it ends tells about the quota: a ``RetriableError(throttled=True)`` that leaves the
        block slows the next calls down, any other one says nothing, and everything else is an
        answer. The time that is waited does not count against the detector.

        Args:
            quota: A name in ``capabilities.quotas``.

        Raises:
            RetriableError: The worker stops.
            ValueError: The capabilities do not name the quota.
        """
        return Paced(self.pacer, quota)

    def fingerprint(self) -> str:
        """32 hex digits for the run key: the options and the model they name."""
        return self.options.fingerprint(self.model_fingerprint())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.version}>"


AnyDetector: TypeAlias = Detector[Any]
"""A detector whose options nobody looks at."""


def detector_class(candidate: object) -> type[AnyDetector]:
    """``candidate`` as a detector class that can be registered.

    Raises:
        TypeError: It is not a concrete ``Detector`` subclass with a name and a version.
    """
    if not (isinstance(candidate, type) and issubclass(candidate, Detector)):
        raise TypeError(f"only Detector subclasses can be registered, not {candidate!r}")
    if inspect.isabstract(candidate):
        missing = ", ".join(sorted(candidate.__abstractmethods__))
        raise TypeError(f"{candidate.__name__} does not define {missing}")
    if not hasattr(candidate, "name") or not hasattr(candidate, "version"):
        raise TypeError(f"{candidate.__name__} needs a name and a version")
    return candidate
