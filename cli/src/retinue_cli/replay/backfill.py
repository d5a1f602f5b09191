"""Asks for all images that a source lists: first counted, then sent."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from retinue_cli.replay.checkpoint import Checkpoint
from retinue_cli.replay.listing import Source
from retinue_cli.replay.sender import Sender

KNOWN = "known to the history"
"""Why an image is left out that has runs: `retinue replay --missing` is for those."""

Known = Callable[[list[UUID]], set[UUID]]
"""Which of these images need not be asked for."""


@dataclass(slots=True)
class Count:
    """What a backfill would do.

    Attributes:
        images: How many images it asks for.
        size_bytes: What they weigh together.
        left_out: How many objects it does not ask for, by reason.
    """

    images: int = 0
    size_bytes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long the detectors take and what they cost.

    Attributes:
        seconds: At their own pace, or at the chosen one; ``None`` if nothing paces them but the
            machines they run on.
        usd: In US dollars.
    """

    seconds: float | None
    usd: Decimal

    @classmethod
    def of(cls, images: int, *, per_second: float | None, usd_per_image: Decimal) -> "Estimate":
        """For so many images, at so many a second at most."""
        seconds = None if per_second is None else images / per_second
        return cls(seconds, images * usd_per_image)


class Backfill:
    """One source into one queue.

    Args:
        source: What there is.
        known: Tells what need not be asked for; called once a page.
        checkpoint: Where it was interrupted before, if it was.
    """

    def __init__(self, source: Source, known: Known, checkpoint: Checkpoint) -> None:
        self._source = source
        self._known = known
        self._checkpoint = checkpoint

    def count(self, count: Count) -> Iterator[int]:
        """Go through what is left to do, and send nothing.

        Args:
            count: Where it is added up.

        Yields:
            How many more objects were looked at.
        """
        for page in self._source.pages(self._checkpoint.position):
            ids = [request.reference.image_id for request in page.requests]
            known = self._known(ids)
            wanted = [
                request
                for request, image_id in zip(page.requests, ids, strict=True)
                if image_id not in known
            ]
            count.images += len(wanted)
            count.size_bytes += sum(request.size_bytes or 0 for request in wanted)
            count.left_out += page.left_out
            count.left_out[KNOWN] += len(page.requests) - len(wanted)
            yield len(page.requests) + page.left_out.total()

    def send(self, sender: Sender) -> Iterator[int]:
        """Send what is left to do, a page at a time; after each, the checkpoint is saved.

        A page that was interrupted is sent again: workers skip what is done already.

        Yields:
            How many more messages SQS has.

        Raises:
            QueueUnavailableError: SQS does not take them; what it has is saved.
        """
        for page in self._source.pages(self._checkpoint.position):
            known = self._known([request.reference.image_id for request in page.requests])
            sent = 0
            for number in sender.send(
                request.body()
                for request in page.requests
                if request.reference.image_id not in known
            ):
                sent += number
                yield number
            self._checkpoint.save(page.position, sent)
        self._checkpoint.clear()
