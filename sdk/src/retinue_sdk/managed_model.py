"""Hosted models that cost money while they run, and are therefore started and stopped."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol


class ModelState(StrEnum):
    """The state of a model, independent of its provider."""

    STOPPED = "stopped"
    """It can be started, and costs nothing."""
    STARTING = "starting"
    """It is starting. It can't be stopped yet."""
    RUNNING = "running"
    """It answers calls, and costs money."""
    STOPPING = "stopping"
    """It no longer answers, and is stopping."""
    FAILED = "failed"
    """Hosting failed. It costs nothing, and another start may succeed."""
    PREPARING = "preparing"
    """It isn't ready to be hosted (training, copying), or its state is unknown. Wait."""
    UNUSABLE = "unusable"
    """It can never run: training failed, it is being deleted, or it has expired."""


COSTLY = frozenset({ModelState.STARTING, ModelState.RUNNING, ModelState.STOPPING})
"""States that count as costing money."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """The provider's description of a model.

    Attributes:
        state: The state, independent of the provider.
        provider_status: The provider's name of the state, such as ``TRAINING_COMPLETED``.
        message: The provider's message; may be empty.
        units: Inference units in use; ``None`` if it isn't hosted or the number is unknown.
    """

    state: ModelState
    provider_status: str
    message: str = ""
    units: int | None = None

    def __str__(self) -> str:
        return f"{self.provider_status} ({self.message})" if self.message else self.provider_status


class ManagedModel(Protocol):
    """A model that can be started and stopped. Used by one thread at a time.

    Methods may raise the same errors as detectors: ``RetriableError`` if there was no answer (the
    request may still have taken effect, so describe the model before you repeat it),
    ``DetectorNotReadyError`` if the request is refused for now, ``ConfigurationError`` if it can
    never succeed.
    """

    @property
    def name(self) -> str:
        """Return the provider's unique name of the model, such as an ARN."""

    @property
    def usd_per_unit_minute(self) -> Decimal:
        """Return the price of an inference unit per minute, in US dollars."""

    def describe(self) -> ModelStatus:
        """Return the model's current status."""

    def start(self, units: int) -> None:
        """Request hosting with ``units`` inference units, 1 or more. Don't wait."""

    def stop(self) -> None:
        """Request a stop. Don't wait."""
