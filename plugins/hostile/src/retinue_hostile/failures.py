"""Detectors that raise."""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from threading import Lock
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field
from retinue_sdk import (
    Capabilities,
    ConfigurationError,
    DetectorNotReadyError,
    Image,
    InvalidImageError,
    Result,
    RetriableError,
)

from retinue_hostile.echo import Hostile, HostileOptions, found


class RaisesOptions(HostileOptions):
    """The method that raises."""

    where: Literal[
        "detect", "constructor", "start", "close", "capabilities", "model_fingerprint"
    ] = "detect"
    """The member that raises."""


class RaisesForOneOptions(HostileOptions):
    """The image that raises."""

    key_fragment: str = "poison"
    """A batch with a key that contains this text fails."""


class NotReadyOptions(HostileOptions):
    """The number of failures."""

    failing_starts: Annotated[int, Field(ge=0)] = 0
    """Number of failing calls of ``start``."""
    failing_calls: Annotated[int, Field(ge=0)] = 1
    """Number of failing calls of ``detect``."""
    retry_after_seconds: Annotated[float | None, Field(ge=0)] = None
    """The error's ``retry_after_seconds``."""


class RetriableOptions(HostileOptions):
    """The number of failures."""

    failing_calls: Annotated[int, Field(ge=0)] = 1
    """Number of failing calls of ``detect`` per image."""
    retry_after_seconds: Annotated[float | None, Field(ge=0)] = None
    """The error's ``retry_after_seconds``."""


class InvalidOptions(HostileOptions):
    """The error of the image."""

    code: str = "hostile"
    """The error code."""


class ExitsOptions(HostileOptions):
    """The kind of exit."""

    how: Literal["sys-exit", "keyboard-interrupt", "process"] = "sys-exit"
    """Raise SystemExit, raise KeyboardInterrupt, or exit immediately with status 70."""


class Raises(Hostile[RaisesOptions]):
    """Raises ``RuntimeError``."""

    name: ClassVar[str] = "hostile-raises"

    def __init__(self, options: RaisesOptions) -> None:
        super().__init__(options)
        self._raise_in("constructor")

    @property
    def capabilities(self) -> Capabilities:
        """Raise if configured."""
        self._raise_in("capabilities")
        return super().capabilities

    def model_fingerprint(self) -> str:
        """Raise if configured."""
        self._raise_in("model_fingerprint")
        return super().model_fingerprint()

    def start(self) -> None:
        """Raise if configured."""
        self._raise_in("start")

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Raise if configured."""
        self._raise_in("detect")
        return super().detect(images)

    def close(self) -> None:
        """Raise if configured."""
        self._raise_in("close")

    def _raise_in(self, member: str) -> None:
        if self.options.where == member:
            raise RuntimeError(f"hostile: {member} raised")


class RaisesForOne(Hostile[RaisesForOneOptions]):
    """Raises for a whole batch if it contains a chosen key."""

    name: ClassVar[str] = "hostile-raises-for-one"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Raise if the chosen image is in the batch."""
        for image in images:
            if self.options.key_fragment in image.reference.key:
                raise RuntimeError(f"hostile: cannot stand {image.reference.key!r}")
        return super().detect(images)


class Misconfigured(Hostile[HostileOptions]):
    """Raises ``ConfigurationError`` in ``start``."""

    name: ClassVar[str] = "hostile-configuration"

    def start(self) -> None:
        """Raise an error with a setting and a remedy, as a detector should."""
        raise ConfigurationError("hostile: option x is y; it must be z")


class NotReady(Hostile[NotReadyOptions]):
    """Raises ``DetectorNotReadyError`` for the first calls."""

    name: ClassVar[str] = "hostile-not-ready"

    def __init__(self, options: NotReadyOptions) -> None:
        super().__init__(options)
        self._lock = Lock()
        self._calls: Counter[str] = Counter()

    def start(self) -> None:
        """Fail for the first calls."""
        self._fail_first(self.options.failing_starts, "start")

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Fail for the first calls."""
        self._fail_first(self.options.failing_calls, "detect")
        return super().detect(images)

    def _fail_first(self, times: int, member: str) -> None:
        with self._lock:
            self._calls[member] += 1
            call = self._calls[member]
        if call <= times:
            raise DetectorNotReadyError(
                f"hostile: {member} is not ready, call {call} of {times}",
                retry_after_seconds=self.options.retry_after_seconds,
            )


class Retriable(Hostile[RetriableOptions]):
    """Returns ``RetriableError`` for each image in the first calls."""

    name: ClassVar[str] = "hostile-retriable"

    def __init__(self, options: RetriableOptions) -> None:
        super().__init__(options)
        self._lock = Lock()
        self._calls: Counter[UUID] = Counter()

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Answer the images that have failed often enough."""
        return [self._answer(image) for image in images]

    def _answer(self, image: Image) -> Result:
        times = self.options.failing_calls
        with self._lock:
            self._calls[image.image_id] += 1
            call = self._calls[image.image_id]
        if call > times:
            return found(image)
        return RetriableError(
            f"hostile: too busy, call {call} of {times}",
            retry_after_seconds=self.options.retry_after_seconds,
        )


class Invalid(Hostile[InvalidOptions]):
    """Returns ``InvalidImageError`` for every image."""

    name: ClassVar[str] = "hostile-invalid-image"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Return an error for each image."""
        code = self.options.code
        return [InvalidImageError("hostile: no image is good enough", code=code) for _ in images]


class Exits(Hostile[ExitsOptions]):
    """Calls ``sys.exit``, raises ``KeyboardInterrupt``, or ends the process."""

    name: ClassVar[str] = "hostile-exits"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Exit."""
        if self.options.how == "keyboard-interrupt":
            raise KeyboardInterrupt("hostile")
        if self.options.how == "process":
            os._exit(70)  # without cleanup, like a crash in native code
        sys.exit(f"hostile: a detector left {len(images)} images")
