"""Detectors with valid answers and bad behaviour."""

import time
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field
from retinue_sdk import Image, Operational, Result

from retinue_hostile.echo import Hostile, HostileOptions, found


class HangsOptions(HostileOptions):
    """The duration of a hang."""

    seconds: Annotated[float, Field(ge=0), Operational()] = 3_600
    """Duration of a call, in seconds."""


class SlowOptions(HostileOptions):
    """The duration of a call."""

    seconds: Annotated[float, Field(ge=0), Operational()] = 1
    """Duration of a call, in seconds."""


class LeaksOptions(HostileOptions):
    """The size of the leak."""

    leaked_bytes: Annotated[int, Field(ge=0)] = 2**20
    """Leaked memory per image, in bytes."""


class Hangs(Hostile[HangsOptions]):
    """Sleeps and ignores ``close``."""

    name: ClassVar[str] = "hostile-hangs"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Sleep until no caller waits."""
        time.sleep(self.options.seconds)
        return [found(image) for image in images]


class Slow(Hostile[SlowOptions]):
    """Sleeps, then works correctly."""

    name: ClassVar[str] = "hostile-slow"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Sleep, then answer."""
        time.sleep(self.options.seconds)
        return [found(image) for image in images]


class Leaks(Hostile[LeaksOptions]):
    """Leaks memory for every image."""

    name: ClassVar[str] = "hostile-leaks"

    def __init__(self, options: LeaksOptions) -> None:
        super().__init__(options)
        self.leaked: list[bytes] = []

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Answer, and leak memory for each image."""
        # Ones, because pages of zeros may never become real memory.
        self.leaked.extend(b"\1" * self.options.leaked_bytes for _ in images)
        return [found(image) for image in images]


class Observed(Hostile[HostileOptions]):
    """Works correctly, but the plugin's observer raises for its runs."""

    name: ClassVar[str] = "hostile-observed"
