"""When a model is started and stopped, and with how many inference units."""

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Self

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from retinue_workers.models.backlog import Backlog

CLOSING_SECONDS = 30.0
"""How long nothing is received before a model is stopped: a long poll of 20 seconds that began
before may still bring messages, and other workers look every few seconds."""


class Window(BaseModel):
    """A time in which a model may be started."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

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


class ModelPolicy(BaseModel):
    """When a detector's model runs. The defaults start it at once and stop it soon."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    backlog: Annotated[int, Field(ge=1)] = 1
    """Start when so many messages wait."""

    oldest_seconds: Annotated[float, Field(ge=0)] | None = None
    """Start when messages have waited so long, however few; never by age if not set."""

    windows: tuple[Window, ...] = ()
    """Start only in these; always if there are none."""

    quiet_seconds: Annotated[float, Field(ge=CLOSING_SECONDS, le=86_400)] = 120.0
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

    def why_start(self, backlog: Backlog, waited_seconds: float, now: float) -> str | None:
        """Why the model is to be started now; ``None`` if it is not."""
        if not backlog.visible or not self._is_time(now):
            return None
        if backlog.visible >= self.backlog:
            return f"{backlog.visible} messages wait"
        if self.oldest_seconds is not None and waited_seconds >= self.oldest_seconds:
            return f"messages have waited {waited_seconds:.0f} s"
        return None

    def why_wait(self, backlog: Backlog, now: float) -> str:
        """Why the model is not started now."""
        if not backlog.visible:
            return "stopped: no message waits for it"
        if not self._is_time(now):
            return f"stopped: {backlog.visible} messages wait for the next window"
        return (
            f"stopped: {backlog.visible} messages wait; it starts when there are {self.backlog}"
            + (f" or after {self.oldest_seconds:g} s" if self.oldest_seconds is not None else "")
        )

    def units(self, backlog: Backlog) -> int:
        """Inference units for a backlog: with more, the work ends sooner at the same cost."""
        wanted = math.ceil(backlog.total / self.images_per_unit)
        return max(self.min_units, min(self.max_units, wanted))

    def _is_time(self, now: float) -> bool:
        return not self.windows or any(window.is_open(now) for window in self.windows)
