"""The values that are passed along in the worker: a message, its delivery, a queue's backlog."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Lock
from uuid import UUID

from retinue_history import ImageRecord, RemovedObject, RunRecord
from retinue_sdk import ImageReference

GONE = frozenset({"bucket_not_found", "object_not_found", "object_replaced"})
"""Error codes that say: this version of the object is not in S3 any more."""


@dataclass(frozen=True, slots=True)
class Message:
    """One receipt of one message.

    Attributes:
        message_id: The message's id, the same at every receive.
        receipt_handle: What this receive is deleted or extended by.
        body: The text that was sent.
        receive_count: How often the message has been received, this time included; 1 or more.
        sent_at: When it was sent, in seconds since the epoch; ``None`` if the queue does not say.
    """

    message_id: str
    receipt_handle: str
    body: str
    receive_count: int
    sent_at: float | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a queue holds.

    Attributes:
        visible: Messages that wait, those that are delayed included.
        in_flight: Messages received and not deleted yet, by any worker.
    """

    visible: int
    in_flight: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.visible + self.in_flight


@dataclass(frozen=True, slots=True)
class Sighting:
    """An image that a message speaks of.

    Attributes:
        reference: Which one.
        record: What the history keeps.
        event_id: What tells this event from any other about the same image.
        detectors: Names of the detectors that it asks for; ``None`` for all.
    """

    reference: ImageReference
    record: ImageRecord
    event_id: str
    detectors: frozenset[str] | None = None


@dataclass(eq=False, slots=True)
class Delivery:
    """A message, what it asked for, and what has come of it so far.

    It is complete when as many attempts have settled as were expected; then its runs are committed
    and, unless something could not be recorded, the message is deleted.

    Attributes:
        message: The message as received.
        last_receive: Whether the queue will move the message to its dead-letter queue next time.
        sightings: The images it speaks of.
        removed: Objects that it says are gone.
        expected: How many attempts it caused.
        runs: What was recorded of them, in the order in which they settled.
        hand_back_seconds: ``None`` to delete the message after the commit; otherwise hand it back
            to the queue, visible again after so many seconds.
    """

    message: Message
    last_receive: bool
    sightings: Sequence[Sighting] = ()
    removed: Sequence[RemovedObject] = ()
    expected: int = 0
    runs: list[RunRecord] = field(default_factory=list)
    hand_back_seconds: int | None = None
    _sizes_px: dict[UUID, tuple[int, int]] = field(default_factory=dict)
    _settled: int = 0
    _lock: Lock = field(default_factory=Lock)

    def hand_back(self, seconds: int) -> None:
        """Do not delete the message: something of it could not be recorded."""
        with self._lock:
            self.hand_back_seconds = max(seconds, self.hand_back_seconds or 0)

    def settle(
        self, run: RunRecord | None, image_id: UUID, size_px: tuple[int, int] | None
    ) -> bool:
        """Count one attempt as settled.

        Args:
            run: What is recorded of it, if anything.
            image_id: The image that it was about.
            size_px: That image's width and height, if somebody decoded it.

        Returns:
            Whether it was the last one, so that the delivery is now complete. True exactly once.
        """
        with self._lock:
            if run is not None:
                self.runs.append(run)
            if size_px is not None:
                self._sizes_px[image_id] = size_px
            self._settled += 1
            return self._settled == self.expected

    def images(self) -> list[ImageRecord]:
        """The images as known now: with their size if somebody decoded them, or as gone."""
        gone = {run.key.image_id for run in self.runs if run.error_code in GONE}
        return [
            self._known(sighting.record, gone) if gone or self._sizes_px else sighting.record
            for sighting in self.sightings
        ]

    def _known(self, record: ImageRecord, gone: Set[UUID]) -> ImageRecord:
        width_px, height_px = self._sizes_px.get(record.image_id, (None, None))
        return replace(
            record,
            width_px=width_px,
            height_px=height_px,
            missing_since=datetime.now(UTC) if record.image_id in gone else None,
        )
