"""The messages between a check and its process."""

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
        folder: The folder of single-file plugins, if any.
        photographs: Files in which it finds something; empty for drawn pictures.
        timeout_seconds: Time limit of a call.
        memory_images: Number of images in the memory check. ``None`` means 1,000, or none if the
            detector has a price.
        bucket: The bucket for pictures of a service that reads S3 itself, if any.
        prefix: The prefix of their keys.
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
    """The process has created the detector.

    Attributes:
        version: The detector's version.
        unread: Whether its service reads S3, but no bucket has the pictures.
    """

    version: str
    unread: bool


@dataclass(frozen=True, slots=True)
class DetectorRefused:
    """The detector can't be created with these options, for a reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The process still runs Python."""


CheckMessage = DetectorMade | DetectorRefused | Heartbeat | CheckResult
"""A process's messages. Its end isn't a message."""
