"""Detectors whose options or life cycle fail one check each."""

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
    """An option without a description."""

    mystery: Annotated[int, Field(ge=0, le=1)] = 0


class HalvedOptions(ConformingOptions):
    """An option that changes when it is read."""

    @field_validator("contrast")
    @classmethod
    def _halve(cls, value: float) -> float:
        return value / 2


class LenientOptions(ConformingOptions):
    """Options that accept any name."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore")


class ClampedOptions(ConformingOptions):
    """An option that corrects values out of range."""

    @field_validator("contrast", mode="before")
    @classmethod
    def _clamp(cls, value: Any) -> Any:
        return min(max(value, 0), 1) if isinstance(value, float | int) else value


class KeyOptions(ConformingOptions):
    """A correct secret option."""

    service_key: Annotated[SecretStr, Operational()] = SecretStr("")
    """The user's key for the service."""


class LeakOptions(ConformingOptions):
    """The size of the leak."""

    leaked_bytes: Annotated[int, Field(ge=0, le=2**30), Operational()] = 2**20
    """Leaked memory per image, in bytes."""


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
        """Return the time instead of the model."""
        return str(time.perf_counter_ns())


class OneLife(ConformingBase[ConformingOptions]):
    """Cannot be started again."""

    name: ClassVar[str] = "failing-restart"

    def __init__(self, options: ConformingOptions) -> None:
        super().__init__(options)
        self.spent = False

    def start(self) -> None:
        """Raise at the second start."""
        if self.spent:
            raise RuntimeError("already closed")
        super().start()

    def close(self) -> None:
        """Close. After a start, this is permanent."""
        self.spent = self.spent or self.ready
        super().close()


class Shared(ConformingBase[ConformingOptions]):
    """Shares the state of a call between concurrent calls."""

    name: ClassVar[str] = "failing-concurrent-equals-singles"

    def __init__(self, options: ConformingOptions) -> None:
        super().__init__(options)
        self.seen: Pixels | None = None

    def look(self, image: Image) -> Findings:
        """Wait between reading and using the shared state."""
        self.seen = self.see(image)
        if threading.active_count() > 2:
            time.sleep(0.02)
        return self.findings(self.seen)


class Talks(ConformingBase[KeyOptions]):
    """Writes its key to the log."""

    name: ClassVar[str] = "failing-no-secret-told"

    def start(self) -> None:
        """Log the key."""
        log.info("connecting with key %s", self.options.service_key.get_secret_value())
        super().start()


class Hoards(ConformingBase[LeakOptions]):
    """Leaks memory for every image."""

    name: ClassVar[str] = "failing-memory-bounded"

    def __init__(self, options: LeakOptions) -> None:
        super().__init__(options)
        self.kept: list[bytes] = []

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Leak ones, because pages of zeros may never become real memory."""
        self.kept.extend(b"\1" * self.options.leaked_bytes for _ in images)
        return super().detect(images)
