"""When a model is started and stopped, and with how many inference units."""

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Self

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from retinue_workers.work import Backlog

CLOSING_SECONDS = 30.0
"""How long nothing is received before a model is stopped: a long poll of 20 seconds that began
before may still bring messages, and other workers look every few seconds."""


class Window(BaseModel):
    """A time in which a model may be started."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    cron: str
    """When it opens, in UTC: minute, hour, day, month, weekday, as cron has them."""

    minutes: Annotated[int, Field(ge=1, le=44_640)]
    """How long it stays open."""

    @field_validator("cron")
    @classmethod
    def _check_cron(cls, value: str) -> str:
        try:
            next(CronSim(value, datetime(2026, 1, 1, tzinfo=UTC)))
        except (CronSimError, StopIteration) as error:
            raise ValueError(f"not a cron expression of five fields: {value!r}: {error}") from error
        return value

    def is_open(self, now: float) -> bool:
        """Whether it is open at a moment, in seconds since the epoch."""
        moment = datetime.fromtimestamp(now, UTC)
        before = moment - timedelta(minutes=self.minutes)
        return next(CronSim(self.cron, before)) <= moment


IDLE_QUIETS = 3
"""A model that has idled so many times ``quiet_seconds`` more than it worked is stopped although
images still trickle in: they wait together for the next start."""

TRICKLE_MESSAGES = 2
"""So few messages in a queue are a trickle, for which the model mostly idles: an image is in flight
for about a second, and a unit takes several images a second."""


class ModelPolicy(BaseModel):
    """When a detector's model runs.

    By default a message starts it at once if it has rested; what comes in the first 40 minutes
    after a stop waits together. So it costs no more than a third of the time, however images come,
    unless there is work for it.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, defer_build=True
    )

    backlog: Annotated[int, Field(ge=1)] = 1
    """Start when so many messages wait."""

    oldest_seconds: Annotated[float, Field(ge=0)] | None = None
    """Start when messages have waited so long, however few; never by age if not set."""

    rest_seconds: Annotated[float, Field(ge=0, le=86_400)] = 2_400.0
    """After a stop, start no sooner than this: starting and stopping cost about 12 minutes of the
    model each time, whether one image waits or a thousand."""

    urgent_backlog: Annotated[int, Field(ge=1)] = 5_000
    """Start in spite of ``rest_seconds`` when so many messages wait."""

    windows: tuple[Window, ...] = ()
    """Start only in these; always if there are none."""

    quiet_seconds: Annotated[float, Field(ge=CLOSING_SECONDS, le=86_400)] = 60.0
    """Stop when the queue has been empty, in flight included, for so long."""

    min_units: Annotated[int, Field(ge=1, le=100)] = 1
    """Fewest inference units."""

    max_units: Annotated[int, Field(ge=1, le=100)] = 1
    """Most inference units. An account has five by default."""

    images_per_unit: Annotated[int, Field(ge=1)] = 5_000
    """Waiting messages for each of which units one more unit is taken."""

    max_failures: Annotated[int, Field(ge=1, le=100)] = 3
    """Starts that may fail, one after the other; then a person must look."""

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.max_units < self.min_units:
            raise ValueError(f"max_units ({self.max_units}) is less than min_units")
        if self.backlog > 1 and self.oldest_seconds is None:
            raise ValueError(
                "backlog above 1 needs oldest_seconds, or the last images wait for ever"
            )
        return self

    def why_start(
        self, backlog: Backlog, waited_seconds: float, rested_seconds: float, now: float
    ) -> str | None:
        """Why the model is to be started now; ``None`` if it is not."""
        if not backlog.visible or not self._is_time(now) or self._rests(backlog, rested_seconds):
            return None
        if backlog.visible >= self.backlog:
            return _wait(backlog.visible)
        if self.oldest_seconds is not None and waited_seconds >= self.oldest_seconds:
            return f"messages have waited {waited_seconds:.0f} s"
        return None

    def why_wait(self, backlog: Backlog, rested_seconds: float, now: float) -> str:
        """Why the model is not started now."""
        if not backlog.visible:
            return "stopped: no message waits for it"
        waiting = f"stopped: {_wait(backlog.visible)}"
        if not self._is_time(now):
            return f"{waiting} for the next window"
        if self._rests(backlog, rested_seconds):
            left = math.ceil((self.rest_seconds - rested_seconds) / 60)
            return (
                f"{waiting}; the model rests for {left} more min, "
                f"or until there are {self.urgent_backlog:,}"
            )
        return f"{waiting}; it starts when there are {self.backlog:,}" + (
            f" or after {self.oldest_seconds:g} s" if self.oldest_seconds is not None else ""
        )

    def units(self, backlog: Backlog) -> int:
        """Inference units for a backlog: with more, the work ends sooner at the same cost."""
        wanted = math.ceil(backlog.total / self.images_per_unit)
        return max(self.min_units, min(self.max_units, wanted))

    @property
    def idle_seconds(self) -> float:
        """How much more than it works a model may idle before it is stopped."""
        return IDLE_QUIETS * self.quiet_seconds

    def is_trickle(self, backlog: Backlog) -> bool:
        """Whether there is too little work for the model to be worth its price."""
        return backlog.total <= TRICKLE_MESSAGES and self.rest_seconds > 0

    def is_urgent(self, backlog: Backlog) -> bool:
        """Whether there is more work than a start costs."""
        return backlog.visible >= self.urgent_backlog

    def _rests(self, backlog: Backlog, rested_seconds: float) -> bool:
        return rested_seconds < self.rest_seconds and not self.is_urgent(backlog)

    def _is_time(self, now: float) -> bool:
        return not self.windows or any(window.is_open(now) for window in self.windows)


def _wait(messages: int) -> str:
    return "1 message waits" if messages == 1 else f"{messages:,} messages wait"
