"""One detector to be applied to one image, because of one event."""

import time
from dataclasses import dataclass, field

from retinue_history import RunKey
from retinue_sdk import Image

from retinue_workers.delivery import Delivery, Sighting


@dataclass(eq=False, slots=True)
class Attempt:
    """Work for a detector, from the event that asks for it until it is settled.

    Attributes:
        delivery: The message that asked for it.
        sighting: Which image, and because of which event.
        key: The run key.
        tries: How often the detector was asked already.
        alone: Whether it must not share a batch, because a batch with it in it raised.
        begun: When the event was taken up (monotonic clock, seconds).
    """

    delivery: Delivery
    sighting: Sighting
    key: RunKey
    tries: int = 0
    alone: bool = False
    begun: float = field(default_factory=time.monotonic)

    @property
    def image(self) -> Image:
        """What to look at."""
        return self.sighting.image

    @property
    def event_id(self) -> str:
        """What tells this attempt from one that another event caused."""
        return self.sighting.event_id
