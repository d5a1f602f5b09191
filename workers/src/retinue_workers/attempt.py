"""One detector to be applied to one image, because of one event."""

from dataclasses import dataclass
from decimal import Decimal

from retinue_history import RunKey
from retinue_sdk import Image

from retinue_workers.work import Delivery


@dataclass(eq=False, slots=True)
class Attempt:
    """Work for a detector, from the event that asks for it until it is settled.

    Attributes:
        delivery: The message that asked for it.
        image: What to look at. Attempts alone hold it, so its bytes go with the last of them.
        key: The run key.
        event_id: What tells this attempt from one that another event caused.
        tries: How often the detector was asked already.
        alone: Whether it must not share a batch, because a batch with it in it raised.
        retrying_since: When the first of the retriable errors in a row came (monotonic clock,
            seconds); ``None`` if the last answer was none.
        billed_units: What was billed for answers that were no findings.
        probes: How many calls about it hung while its detector was believed to hang.
        parked: Whether its use of the loaded image is over: it waits to be tried again, and has
            the image fetched anew then.
    """

    delivery: Delivery
    image: Image
    key: RunKey
    event_id: str
    tries: int = 0
    alone: bool = False
    retrying_since: float | None = None
    billed_units: Decimal = Decimal(0)
    probes: int = 0
    parked: bool = False
