"""Request all images of a source: first count them, then send messages."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from retinue_cli.replay.checkpoint import Checkpoint
from retinue_cli.replay.listing import Source
from retinue_cli.replay.sender import Sender

KNOWN = "known to the history"
"""Why an image with runs is omitted: use `retinue replay --missing` for those."""

Known = Callable[[list[UUID]], set[UUID]]
"""Returns which of these images can be omitted."""


@dataclass(slots=True)
class Count:
    """The plan of a backfill.

    Attributes:
        images: Number of images to send.
        size_bytes: Their total size.
        left_out: Number of omitted objects, by reason.
    """

    images: int = 0
    size_bytes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The detectors' time and cost.

    Attributes:
        seconds: The time at their own rate, or at the chosen one. ``None`` if only the machines
            limit it.
        usd: The cost in US dollars.
    """

    seconds: float | None
    usd: Decimal

    @classmethod
    def of(cls, images: int, *, per_second: float | None, usd_per_image: Decimal) -> "Estimate":
        """Return the estimate for a number of images at a maximum rate."""
        seconds = None if per_second is None else images / per_second
        return cls(seconds, images * usd_per_image)


class Backfill:
    """One source and one queue.

    Args:
        source: The source.
        known: Returns the images that can be omitted. Called once per page.
        checkpoint: The position of an interrupted backfill.
    """

    def __init__(self, source: Source, known: Known, checkpoint: Checkpoint) -> None:
        self._source = source
        self._known = known
        self._checkpoint = checkpoint

    def count(self, count: Count) -> Iterator[int]:
        """Count the remaining objects without sending messages.

        Args:
            count: The sums.

        Yields:
            The number of further objects.
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
        """Send the remaining messages, page by page. Save the checkpoint after each.

        An interrupted page is sent again, because workers skip finished work.

        Yields:
            The number of further messages in SQS.

        Raises:
            QueueUnavailableError: SQS refuses them. The checkpoint has the sent ones.
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
