"""The values that the worker's parts exchange: one type per idea."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from retinue_history import (
    NULL_VERSION,
    REPLAY,
    ImageRecord,
    JobRecord,
    RemovedObject,
    RunKey,
    RunRecord,
    VideoRecord,
)
from retinue_sdk import Image, ImageReference

GONE = frozenset({"bucket_not_found", "object_not_found", "object_replaced"})
"""Error codes that mean that this version of the object is no longer in S3."""

JOB_TAG = "retinue/"
"""The beginning of a job's tag at its service. The job's token follows."""


@dataclass(slots=True, eq=False)
class Message:
    """One receive of one SQS message.

    Attributes:
        message_id: The message's id, the same at every receive.
        receipt_handle: The handle for deleting or extending this receipt.
        body: The text that was sent.
        receive_count: Number of receives, including this one; 1 or more.
        sent_at: When it was sent, in seconds since the epoch; ``None`` if unknown.
        received_at: When it was received, on the monotonic clock in seconds.
        is_expired: Whether SQS has refused the receipt handle permanently.
    """

    message_id: str
    receipt_handle: str
    body: str
    receive_count: int
    sent_at: float | None = None
    received_at: float = field(default_factory=time.monotonic)
    is_expired: bool = False


class ImageEvent(NamedTuple):
    """An object was created or overwritten in S3.

    Attributes:
        reference: The object version.
        size_bytes: The object's size in bytes, 0 or more; ``None`` if the event doesn't have it.
        sequencer: Orders the events of one key, in hexadecimal; ``None`` if the event has none.
        event_time: When S3 finished the request, in UTC.
        replay_id: The id of a request to process the image again; ``None`` for S3's own event.
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
        """Return an id that is the same at each delivery of this event; see ``ObjectEvent``."""
        if self.replay_id is not None:
            return f"{REPLAY}{self.replay_id}"
        return _event_id(self.sequencer, self.event_time)

    def record(self) -> ImageRecord:
        """Return the image's record for the history."""
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
    """An object was deleted from S3, by a request or by a lifecycle rule.

    Attributes:
        bucket: The bucket's name.
        key: The object's key, decoded.
        version_id: The version that was permanently removed: an object's or a delete marker's. For
            a new delete marker, its own id. ``None`` for the version without an id, as in an
            unversioned bucket, or if versioning is suspended or was enabled later.
        delete_marker: Whether a delete marker was created, so that older versions still exist.
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
        """Return an id that is the same at each delivery of this event; see ``ObjectEvent``."""
        return _event_id(self.sequencer, self.event_time)

    def record(self) -> RemovedObject:
        """Return the removal's record for the history."""
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
"""A change of an object. Its ``event_id`` is the same at each redelivery, and different for a new
event of the same image. It contains the sequencer, if any, and the event's time, because some
S3-compatible services send the same sequencer with every event.
"""


@dataclass(frozen=True, slots=True)
class JobHint:
    """A message about the end of a video's job, which may be another pool's.

    It is only a reason to look at the job: messages can be lost, doubled, late or forged.

    Attributes:
        job_id: The service's id of the job.
        token: The token in the job's tag; ``None`` if the tag isn't Retinue's.
    """

    job_id: str
    token: str | None = None


def _event_id(sequencer: str | None, event_time: datetime) -> str:
    time = event_time.isoformat()
    return time if sequencer is None else f"{sequencer}@{time}"


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """The number of messages in a queue, according to SQS.

    Attributes:
        visible: Messages that wait, including delayed ones.
        in_flight: Messages received and not deleted yet, by any worker.
        dead_letters: Messages in its dead-letter queue; ``None`` if it doesn't exist or wasn't
            read.
    """

    visible: int
    in_flight: int
    dead_letters: int | None = None

    @property
    def total(self) -> int:
        """Return the number of messages that wait or are in flight."""
        return self.visible + self.in_flight


@dataclass(eq=False, slots=True)
class Task:
    """One detector to run on one image because of one event.

    Attributes:
        message: The message with the event.
        event: The event.
        image: The image. Tasks of detectors that load it share it.
        key: The run key.
        event_id: The id of the event.
        is_last_receive: Whether SQS would move the message to the dead-letter queue next time.
        alone: Whether the image needs its own batch, because a batch with it raised.
        probes: Number of calls for the image that hung while the detector was unresponsive.
        shortages: Number of shortages while the image was processed alone.
        billed_units: Units billed for failed calls for the image.
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
    event_id: str = field(init=False)

    def __post_init__(self) -> None:
        """Compute the id of the event, which is needed several times."""
        self.event_id = self.event.event_id

    @property
    def reference(self) -> ImageReference:
        """Return the object version."""
        return self.event.reference

    @property
    def is_truncated(self) -> bool:
        """Return whether a part of the image is missing."""
        return self.image.is_truncated


@dataclass(frozen=True, slots=True)
class Requeue:
    """The outcome of a task that isn't recorded. SQS delivers the message again.

    Attributes:
        after_seconds: How long the message stays hidden, 0 or more.
        reason: The reason, for the log.
    """

    after_seconds: int
    reason: str


TaskResult: TypeAlias = RunRecord | JobRecord | Requeue
"""The outcome of a task. A job is recorded first; its run replaces it later."""


@dataclass(slots=True)
class Delivery:
    """Everything that is committed because of one message.

    Attributes:
        message: The message.
        references: The message's images, in the form that plugins receive.
        images: The same images, as records of the history.
        removed: The removed objects.
        runs: The runs of its tasks.
        videos: Facts of images that are videos.
        jobs: The jobs that its tasks want.
        requeue_after_seconds: ``None`` to delete the message after the commit. Otherwise the
            message is requeued, visible after this many seconds, because a result isn't recorded.
    """

    message: Message
    references: Sequence[ImageReference]
    images: Sequence[ImageRecord]
    removed: Sequence[RemovedObject]
    runs: Sequence[RunRecord]
    requeue_after_seconds: int | None
    videos: Sequence[VideoRecord] = ()
    jobs: Sequence[JobRecord] = ()
