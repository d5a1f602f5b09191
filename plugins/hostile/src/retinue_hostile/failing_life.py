"""Detectors that fail one check each, by their options or by how they live."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, SecretStr, field_validator
from retinue_sdk import Findings, Image, Operational, Result

from retinue_hostile.conforming import ConformingBase, ConformingOptions

if TYPE_CHECKING:
    from retinue_sdk import Pixels

log = logging.getLogger(__name__)


class UndescribedOptions(ConformingOptions):
    """One option too many."""

    mystery: Annotated[int, Field(ge=0, le=1)] = 0


class HalvedOptions(ConformingOptions):
    """An option that is never what was written."""

    @field_validator("contrast")
    @classmethod
    def _halve(cls, value: float) -> float:
        return value / 2


class LenientOptions(ConformingOptions):
    """Takes any option."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore")


class ClampedOptions(ConformingOptions):
    """Corrects what is out of range."""

    @field_validator("contrast", mode="before")
    @classmethod
    def _clamp(cls, value: Any) -> Any:
        return min(max(value, 0), 1) if isinstance(value, float | int) else value


class KeyOptions(ConformingOptions):
    """A secret option, as it should be."""

    service_key: Annotated[SecretStr, Operational()] = SecretStr("")
    """What the service knows its user by."""


class LeakOptions(ConformingOptions):
    """How much to keep."""

    leaked_bytes: Annotated[int, Field(ge=0, le=2**30), Operational()] = 2**20
    """Memory kept for each image, in bytes."""


class Undescribed(ConformingBase[UndescribedOptions]):
    """Has an option without a description."""

    name: ClassVar[str] = "failing-options-described"


class Halves(ConformingBase[HalvedOptions]):
    """Has options that change when they are read again."""

    name: ClassVar[str] = "failing-options-round-trip"


class Lenient(ConformingBase[LenientOptions]):
    """Accepts unknown options."""

    name: ClassVar[str] = "failing-options-unknown-refused"


class Clamps(ConformingBase[ClampedOptions]):
    """Silently corrects values out of range."""

    name: ClassVar[str] = "failing-options-range-refused"


class Restless(ConformingBase[ConformingOptions]):
    """Has a different fingerprint at each start."""

    name: ClassVar[str] = "failing-fingerprint-stable"

    def model_fingerprint(self) -> str:
        """The time of day, instead of the model."""
        return str(time.perf_counter_ns())


class OneLife(ConformingBase[ConformingOptions]):
    """Cannot be started again."""

    name: ClassVar[str] = "failing-restart"

    def __init__(self, options: ConformingOptions) -> None:
        """Live once."""
        super().__init__(options)
        self.spent = False

    def start(self) -> None:
        """Once."""
        if self.spent:
            raise RuntimeError("already closed")
        super().start()

    def close(self) -> None:
        """Close; once it has started, permanently."""
        self.spent = self.spent or self.ready
        super().close()


class Shared(ConformingBase[ConformingOptions]):
    """Shares the state of a call between concurrent calls."""

    name: ClassVar[str] = "failing-concurrent-equals-singles"

    def __init__(self, options: ConformingOptions) -> None:
        """Nothing seen yet."""
        super().__init__(options)
        self.seen: Pixels | None = None

    def look(self, image: Image) -> Findings:
        """Look away for a moment between seeing and finding."""
        self.seen = self.see(image)
        if threading.active_count() > 2:
            time.sleep(0.02)
        return self.findings(self.seen)


class Talks(ConformingBase[KeyOptions]):
    """Writes its key to the log."""

    name: ClassVar[str] = "failing-no-secret-told"

    def start(self) -> None:
        """Say too much."""
        log.info("connecting with key %s", self.options.service_key.get_secret_value())
        super().start()


class Hoards(ConformingBase[LeakOptions]):
    """Leaks memory for every image."""

    name: ClassVar[str] = "failing-memory-bounded"

    def __init__(self, options: LeakOptions) -> None:
        """Nothing kept yet."""
        super().__init__(options)
        self.kept: list[bytes] = []

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Keep ones, not zeros: pages of zeros might never become real memory."""
        self.kept.extend(b"\1" * self.options.leaked_bytes for _ in images)
        return super().detect(images)
