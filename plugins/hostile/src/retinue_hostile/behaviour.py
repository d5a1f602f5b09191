"""Detectors that answer properly, but not in a way that one would wish."""

import time
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field
from retinue_sdk import Image, Operational, Result

from retinue_hostile.echo import Hostile, HostileOptions, found


class HangsOptions(HostileOptions):
    """How long to hang."""

    seconds: Annotated[float, Field(ge=0), Operational()] = 3_600
    """How long a call takes, in seconds."""


class SlowOptions(HostileOptions):
    """How slow to be."""

    seconds: Annotated[float, Field(ge=0), Operational()] = 1
    """How long a call takes, in seconds."""


class LeaksOptions(HostileOptions):
    """How much to keep."""

    leaked_bytes: Annotated[int, Field(ge=0)] = 2**20
    """Memory kept for each image, in bytes."""


class Hangs(Hostile[HangsOptions]):
    """Sleeps and ignores ``close``."""

    name: ClassVar[str] = "hostile-hangs"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Sleep until nobody waits any more."""
        time.sleep(self.options.seconds)
        return [found(image) for image in images]


class Slow(Hostile[SlowOptions]):
    """Sleeps, then works correctly."""

    name: ClassVar[str] = "hostile-slow"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Take one's time."""
        time.sleep(self.options.seconds)
        return [found(image) for image in images]


class Leaks(Hostile[LeaksOptions]):
    """Leaks memory for every image."""

    name: ClassVar[str] = "hostile-leaks"

    def __init__(self, options: LeaksOptions) -> None:
        super().__init__(options)
        self.leaked: list[bytes] = []

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Answer, and keep something to remember the images by."""
        # Ones, not zeros: pages of zeros might never become real memory.
        self.leaked.extend(b"\1" * self.options.leaked_bytes for _ in images)
        return [found(image) for image in images]


class Observed(Hostile[HostileOptions]):
    """Works correctly, but the plugin's observer raises for its runs."""

    name: ClassVar[str] = "hostile-observed"
