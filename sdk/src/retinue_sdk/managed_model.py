"""Models that cost money for as long as they are hosted, and so are started and stopped."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol


class ModelState(StrEnum):
    """What can be done about a model now, whatever its provider calls it."""

    STOPPED = "stopped"
    """It can be started, and costs nothing."""
    STARTING = "starting"
    """It will run, or fail, in a while. It cannot be stopped yet."""
    RUNNING = "running"
    """It answers, and costs money."""
    STOPPING = "stopping"
    """It answers no more, and will be stopped in a while."""
    FAILED = "failed"
    """It could not be hosted. It costs nothing, and another start may succeed."""
    PREPARING = "preparing"
    """It is not made yet (training, copying), or in a state that nobody foresaw: wait."""
    UNUSABLE = "unusable"
    """It will never run: training failed, it is being deleted, or it has expired."""


COSTLY = frozenset({ModelState.STARTING, ModelState.RUNNING, ModelState.STOPPING})
"""States in which a model is counted as costing money."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What a provider tells of a model.

    Attributes:
        state: What can be done about it.
        provider_status: The provider's own word for it, such as ``TRAINING_COMPLETED``.
        message: What the provider says about it; may be empty.
        units: Inference units that it takes; ``None`` if it is not hosted, or nobody says.
    """

    state: ModelState
    provider_status: str
    message: str = ""
    units: int | None = None

    def __str__(self) -> str:
        return f"{self.provider_status} ({self.message})" if self.message else self.provider_status


class ManagedModel(Protocol):
    """A model that can be started and stopped. Used by one thread at a time.

    Every method may raise what a detector may: ``RetriableError`` when there was no answer (the
    request may have taken effect all the same, so describe the model before asking again),
    ``DetectorNotReadyError`` when it is refused for now, ``ConfigurationError`` when it never can.
    """

    @property
    def name(self) -> str:
        """Return what tells the model from all others, at its provider: an ARN, say."""

    @property
    def usd_per_unit_minute(self) -> Decimal:
        """Return what an inference unit costs a minute, in US dollars."""

    def describe(self) -> ModelStatus:
        """Ask how it is."""

    def start(self, units: int) -> None:
        """Ask for it to be hosted with so many inference units, 1 or more; does not wait."""

    def stop(self) -> None:
        """Ask for it to be stopped; does not wait."""
