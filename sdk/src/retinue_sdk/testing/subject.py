"""The subject of the checks: a detector with options, images and faults."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from retinue_sdk.detector import AnyDetector
from retinue_sdk.errors import DetectorError
from retinue_sdk.json_value import Json
from retinue_sdk.reference import ImageReference
from retinue_sdk.testing import pictures


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the service that a detector calls.

    Attributes:
        happening: Causes the fault while the context lasts: ``with fault.happening(): ...``.
        expected: The class of error that the detector must raise meanwhile.
    """

    happening: Callable[[], AbstractContextManager[object]]
    expected: type[DetectorError]


@dataclass(frozen=True, slots=True)
class Subject:
    """A detector under test.

    Attributes:
        detector: The class.
        options: Its options, as in ``RETINUE_DETECTORS``.
        photographs: JPEG or PNG files in which the detector finds something, preferably two or more
            with different content. The default is drawn pictures.
        store: For a detector whose service reads S3 itself: stores a file (bytes, key) where the
            service finds it, and returns its reference. Without it, references name no object.
        faults: The faults of the service, by name.
        secrets: Texts that must never appear, in addition to the secret options.
        timeout_seconds: Time limit of one call; the worker's default is 60.
        memory_images: Number of images in the memory check; 0 skips it.

    Raises:
        ValueError: No photograph is given, or a number is out of range.
    """

    detector: type[AnyDetector]
    options: Mapping[str, Json] = field(default_factory=dict)
    photographs: Sequence[bytes] = field(default_factory=pictures.photographs)
    store: Callable[[bytes, str], ImageReference] | None = None
    faults: Mapping[str, Fault] = field(default_factory=dict)
    secrets: Sequence[str] = ()
    timeout_seconds: float = 60.0
    memory_images: int = 1_000

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for a subject that can't be checked."""
        if not self.photographs:
            raise ValueError("photographs must not be empty; omit the argument to use drawn ones")
        if not self.timeout_seconds > 0:
            raise ValueError(f"timeout_seconds must be above 0, not {self.timeout_seconds}")
        if self.memory_images < 0:
            raise ValueError(f"memory_images must be 0 or more, not {self.memory_images}")
