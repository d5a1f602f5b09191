"""What is checked: a detector with options, and images to show it."""

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
    """Something that can go wrong with the service that a detector calls.

    Attributes:
        happening: Makes it go wrong while the context lasts: ``with fault.happening(): ...``.
        expected: The class of error that the detector must answer with meanwhile.
    """

    happening: Callable[[], AbstractContextManager[object]]
    expected: type[DetectorError]


@dataclass(frozen=True, slots=True)
class Subject:
    """A detector under test.

    Attributes:
        detector: The class.
        options: Its options, as they would stand in ``RETINUE_DETECTORS``.
        photographs: Image files in which the detector finds something, best two or more of
            different content. JPEG or PNG. Left out, drawn pictures are shown.
        store: For a detector whose service reads S3 itself: puts a file where the service finds it
            (bytes, key) and tells its reference. Left out, references lead nowhere.
        faults: What can go wrong with the service, by name.
        secrets: Texts that must not turn up anywhere, beside the options' own secrets.
        timeout_seconds: How long one call may take; the worker's own default is 60.
        memory_images: How many images the memory check shows; 0 leaves it out.

    Raises:
        ValueError: There is no photograph, or a number is out of range.
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
        """Refuse a subject that nothing could be checked with."""
        if not self.photographs:
            raise ValueError("a subject needs a photograph; leave them out to get drawn ones")
        if not self.timeout_seconds > 0:
            raise ValueError(f"timeout_seconds must be above 0, not {self.timeout_seconds}")
        if self.memory_images < 0:
            raise ValueError(f"memory_images must be 0 or more, not {self.memory_images}")
