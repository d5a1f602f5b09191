"""Settings for starting and stopping hosted models."""

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

if TYPE_CHECKING:
    from retinue_workers.work import QueueDepth  # with the history, which `make deploy` lacks

CLOSING_SECONDS = 30.0
"""Time without receiving before a model is stopped. A long poll of 20 seconds that began before may
still return messages, and other workers check every few seconds.
"""


class Window(BaseModel):
    """A time in which a model may be started."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    cron: str
    """When it opens, in UTC: minute, hour, day, month, weekday, as in cron."""

    minutes: Annotated[int, Field(ge=1, le=44_640)]
    """How long it stays open, in minutes."""

    @field_validator("cron")
    @classmethod
    def _check_cron(cls, value: str) -> str:
        try:
            next(CronSim(value, datetime(2026, 1, 1, tzinfo=UTC)))
        except (CronSimError, StopIteration) as error:
            raise ValueError(f"not a cron expression of five fields: {value!r}: {error}") from error
        return value

    def is_open(self, now: float) -> bool:
        """Return whether it is open at a time, in seconds since the epoch."""
        moment = datetime.fromtimestamp(now, UTC)
        before = moment - timedelta(minutes=self.minutes)
        return next(CronSim(self.cron, before)) <= moment


IDLE_TIMEOUTS = 3
"""How many times ``idle_timeout_seconds`` a model may idle more than it worked. Then it is stopped
although images still trickle in, and they wait together for the next start.
"""

TRICKLE_MESSAGES = 2
"""Number of messages in a queue that count as a trickle, for which the model mostly idles. An image
is in flight for about a second, and a unit processes several images a second.
"""


class ModelPolicy(BaseModel):
    """The policy for running a detector's model.

    By default, a message starts the model immediately after the cooldown. Images of the 40 minutes
    after a stop wait together. Without enough work, the model runs at most a third of the time.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    backlog: Annotated[int, Field(ge=1)] = 1
    """Start when this many messages wait."""

    max_wait_seconds: Annotated[float, Field(ge=0)] | None = None
    """Start when messages have waited this long, even if few wait. Not set: never start by age."""

    cooldown_seconds: Annotated[float, Field(ge=0, le=86_400)] = 2_400.0
    """Time after a stop before the next start. A start and a stop cost about 12 minutes of the
    model, for one image or a thousand.
    """

    urgent_backlog: Annotated[int, Field(ge=1)] = 5_000
    """Start in spite of ``cooldown_seconds`` when this many messages wait."""

    windows: tuple[Window, ...] = ()
    """Start only in these windows. Empty: always."""

    idle_timeout_seconds: Annotated[float, Field(ge=CLOSING_SECONDS, le=86_400)] = 60.0
    """Stop when the queue, including messages in flight, has been empty for this long."""

    min_units: Annotated[int, Field(ge=1, le=100)] = 1
    """Minimum number of inference units."""

    max_units: Annotated[int, Field(ge=1, le=100)] = 1
    """Maximum number of inference units. An account has five by default."""

    images_per_unit: Annotated[int, Field(ge=1)] = 5_000
    """Number of waiting messages per inference unit."""

    max_failures: Annotated[int, Field(ge=1, le=100)] = 3
    """Number of consecutive failed starts after which an operator must act."""

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.max_units < self.min_units:
            raise ValueError(f"max_units ({self.max_units}) is less than min_units")
        if self.backlog > 1 and self.max_wait_seconds is None:
            raise ValueError(
                "backlog above 1 needs max_wait_seconds, or the last images wait forever"
            )
        return self

    def why_start(
        self, depth: "QueueDepth", waited_seconds: float, stopped_seconds: float, now: float
    ) -> str | None:
        """Return the reason to start the model now; ``None`` if there is none."""
        if (
            not depth.visible
            or not self._is_time(now)
            or self._is_cooling_down(depth, stopped_seconds)
        ):
            return None
        if depth.visible >= self.backlog:
            return _wait(depth.visible)
        if self.max_wait_seconds is not None and waited_seconds >= self.max_wait_seconds:
            return f"messages have waited {waited_seconds:.0f} s"
        return None

    def why_wait(self, depth: "QueueDepth", stopped_seconds: float, now: float) -> str:
        """Return the reason why the model isn't started now."""
        if not depth.visible:
            return "stopped: no message waits for it"
        waiting = f"stopped: {_wait(depth.visible)}"
        if not self._is_time(now):
            return f"{waiting} for the next window"
        if self._is_cooling_down(depth, stopped_seconds):
            left = math.ceil((self.cooldown_seconds - stopped_seconds) / 60)
            return (
                f"{waiting}; the cooldown lasts {left} more min, "
                f"or until there are {self.urgent_backlog:,}"
            )
        return f"{waiting}; it starts when there are {self.backlog:,}" + (
            f" or after {self.max_wait_seconds:g} s" if self.max_wait_seconds is not None else ""
        )

    def units(self, depth: "QueueDepth") -> int:
        """Return the inference units for a depth. More units finish sooner at the same cost."""
        wanted = math.ceil(depth.total / self.images_per_unit)
        return max(self.min_units, min(self.max_units, wanted))

    @property
    def max_idle_seconds(self) -> float:
        """Return the seconds by which a model's idle time may exceed its working time."""
        return IDLE_TIMEOUTS * self.idle_timeout_seconds

    def is_trickle(self, depth: "QueueDepth") -> bool:
        """Return whether there is too little work for the model's price."""
        return depth.total <= TRICKLE_MESSAGES and self.cooldown_seconds > 0

    def is_urgent(self, depth: "QueueDepth") -> bool:
        """Return whether there is more work than a start costs."""
        return depth.visible >= self.urgent_backlog

    def _is_cooling_down(self, depth: "QueueDepth", stopped_seconds: float) -> bool:
        return stopped_seconds < self.cooldown_seconds and not self.is_urgent(depth)

    def _is_time(self, now: float) -> bool:
        return not self.windows or any(window.is_open(now) for window in self.windows)


def _wait(messages: int) -> str:
    return "1 message waits" if messages == 1 else f"{messages:,} messages wait"
