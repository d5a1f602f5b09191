"""The values that travel through the worker: one type for each idea."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from retinue_history import NULL_VERSION, REPLAY, ImageRecord, RemovedObject, RunKey, RunRecord
from retinue_sdk import Image, ImageReference

GONE = frozenset({"bucket_not_found", "object_not_found", "object_replaced"})
"""Error codes that mean that this version of the object is no longer in S3."""


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One receipt of one SQS message.

    Attributes:
        message_id: The message's id, the same at every receive.
        receipt_handle: What this receipt is deleted or extended by.
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
class ImageEvent:
    """S3 says that an object was created (or overwritten).

    Attributes:
        reference: Which object version.
        size_bytes: The object's size in bytes, 0 or more; ``None`` if the event does not say.
        sequencer: Orders the events of one key, in hexadecimal; ``None`` if the event has none.
        event_time: When S3 finished the request, in UTC.
        replay_id: What asks for the image again; ``None`` for S3's own event.
        detectors: Names of the detectors to apply; ``None`` for all.
        served_at: When a listing showed this version as the current one; ``None`` if the message
            wasn't made from a listing.
    """

    reference: ImageReference
    size_bytes: int | None
    sequencer: str | None
    event_time: datetime
    replay_id: str | None = None
    detectors: frozenset[str] | None = None
    served_at: datetime | None = None

    @property
    def event_id(self) -> str:
        """Return what is the same each time this event is delivered: see ``ObjectEvent``."""
        if self.replay_id is not None:
            return f"{REPLAY}{self.replay_id}"
        return _event_id(self.sequencer, self.event_time)

    def record(self) -> ImageRecord:
        """Return what the history keeps of the image."""
        reference = self.reference
        return ImageRecord(
            image_id=reference.image_id,
            bucket=reference.bucket,
            key=reference.key,
            version=reference.version,
            versioned=reference.version_id is not None,
            uploaded_at=self.event_time,
            sequencer=self.sequencer,
            etag=reference.etag,
            size_bytes=self.size_bytes,
            served_at=self.served_at,
        )


@dataclass(frozen=True, slots=True)
class RemovalEvent:
    """S3 says that an object was deleted, by a request or by a lifecycle rule.

    Attributes:
        bucket: The bucket's name.
        key: The object's key, decoded.
        version_id: The version that was permanently removed: an object's or a delete marker's;
            of a delete marker that was put, its own id. ``None`` for the version without an id, as
            in an unversioned bucket, or where versioning is suspended or was switched on later.
        delete_marker: Whether a delete marker was put on top, so that older versions still exist.
        sequencer: Orders the events of one key, in hexadecimal; ``None`` if the event has none.
        event_time: When S3 finished the request, in UTC.
    """

    bucket: str
    key: str
    version_id: str | None
    delete_marker: bool
    sequencer: str | None
    event_time: datetime

    @property
    def event_id(self) -> str:
        """Return what is the same each time this event is delivered: see ``ObjectEvent``."""
        return _event_id(self.sequencer, self.event_time)

    def record(self) -> RemovedObject:
        """Return what the history keeps of the removal."""
        version = self.version_id or NULL_VERSION
        return RemovedObject(
            self.bucket,
            self.key,
            None if self.delete_marker else version,
            self.sequencer,
            self.event_time,
            version if self.delete_marker else None,
        )


ObjectEvent: TypeAlias = ImageEvent | RemovalEvent
"""What happened to an object. Its ``event_id`` tells redelivery (the same) from a new event of the
same image (another): the sequencer, if there is one, and the event's time, since some of S3's
look-alikes send the same sequencer with every event."""


def _event_id(sequencer: str | None, event_time: datetime) -> str:
    time = event_time.isoformat()
    return time if sequencer is None else f"{sequencer}@{time}"


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """What a queue holds, as far as SQS knows.

    Attributes:
        visible: Messages that wait, those that are delayed included.
        in_flight: Messages received and not deleted yet, by any worker.
        dead_letters: Messages in its dead-letter queue; ``None`` if there is none, or if it wasn't
            read.
    """

    visible: int
    in_flight: int
    dead_letters: int | None = None

    @property
    def total(self) -> int:
        """Return how many messages wait or are in flight."""
        return self.visible + self.in_flight


@dataclass(eq=False, slots=True)
class Task:
    """One detector to run on one image because of one event.

    Attributes:
        message: The message that holds the event.
        event: The event.
        image: What to look at. Tasks of detectors that load the image share it.
        key: The run key.
        is_last_receive: Whether SQS would move the message to its dead-letter queue next time.
        alone: Whether the image must not share a batch, because a batch with it raised.
        probes: How many calls about the image hung while the detector was unresponsive.
        shortages: How often resources ran out while the image was the only one looked at.
        billed_units: What failed calls about the image were billed.
    """

    message: Message
    event: ImageEvent
    image: Image
    key: RunKey
    is_last_receive: bool
    alone: bool = False
    probes: int = 0
    shortages: int = 0
    billed_units: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Requeue:
    """The outcome of a task that is not recorded: SQS delivers the message again.

    Attributes:
        after_seconds: How long the message stays hidden, 0 or more.
        reason: Why, for the log.
    """

    after_seconds: int
    reason: str


TaskResult: TypeAlias = RunRecord | Requeue
"""The outcome of a task."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """All that is committed because of one message.

    Attributes:
        message: The message.
        references: The images that it names, as plugins see them.
        images: The same images, as the history keeps them.
        removed: The objects that it says are gone.
        runs: The runs of its tasks.
        requeue_after_seconds: ``None`` to delete the message after the commit; otherwise it is
            requeued, visible again after so many seconds, because something is not recorded.
    """

    message: Message
    references: Sequence[ImageReference]
    images: Sequence[ImageRecord]
    removed: Sequence[RemovedObject]
    runs: Sequence[RunRecord]
    requeue_after_seconds: int | None
