"""What is to be checked, in words that a new process understands."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue
from retinue_sdk.testing import CheckResult


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """A detector to check, and how.

    Attributes:
        detector: Its name.
        options: Its options.
        folder: The folder of one-file plugins, if there is one.
        photographs: Files in which it finds something; none for drawn pictures.
        timeout_seconds: Longest call of the detector.
        memory_images: How many images the memory check shows; ``None`` for 1,000, or for none if
            the detector has a price.
        bucket: Where a service that reads S3 itself finds the pictures; ``None`` for nowhere.
        prefix: With what their keys begin.
    """

    detector: str
    options: Mapping[str, JsonValue]
    folder: Path | None
    photographs: tuple[bytes, ...] = ()
    timeout_seconds: float = 60.0
    memory_images: int | None = None
    bucket: str | None = None
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class DetectorMade:
    """The process has made the detector.

    Attributes:
        version: The detector's version.
        unread: Whether its service reads S3, where the pictures are not.
    """

    version: str
    unread: bool


@dataclass(frozen=True, slots=True)
class DetectorRefused:
    """The detector cannot be made with these options; says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The process still runs Python."""


CheckMessage = DetectorMade | DetectorRefused | Heartbeat | CheckResult
"""What a process tells. Its end is no message."""
