"""The worker's values out of nothing: messages, images, tasks, runs and deliveries."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count

from retinue_history import ImageRecord, RunKey, RunRecord
from retinue_sdk import Image, ImageReference
from retinue_workers.work import Delivery, ImageEvent, Message, Task

NOW = datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)
_numbers = count(1)


def unread() -> bytes:
    """Return the bytes of an image that must not be read."""
    raise AssertionError("the image was read")


def message(body: str = "{}", receive_count: int = 1) -> Message:
    """Return a message that was just received."""
    number = next(_numbers)
    return Message(f"m{number}", f"m{number}#{receive_count}", body, receive_count)


def reference(key: str = "a.jpg") -> ImageReference:
    """Return an image of that key in a bucket without versions."""
    return ImageReference("photos", key, etag="e")


def image(key: str | None = None, load: Callable[[], bytes] = unread) -> Image:
    """Return an image that nothing else refers to; of a key of its own by default."""
    return Image(reference(key or f"{next(_numbers)}.jpg"), load)


def event(key: str = "a.jpg") -> ImageEvent:
    """Return S3's event about the image of that key."""
    return ImageEvent(reference(key), None, "AA", NOW)


def record(key: str = "a.jpg") -> ImageRecord:
    """Return the image of that key as the history keeps it."""
    return event(key).record()


def run_key(key: str = "a.jpg", detector: str = "echo") -> RunKey:
    """Return the run key of a detector's first version."""
    return RunKey(reference(key).image_id, detector, "1", "f" * 32)


def task(
    key: str | None = None,
    *,
    detector: str = "echo",
    receive_count: int = 1,
    is_last_receive: bool = False,
    load: Callable[[], bytes] = unread,
) -> Task:
    """Return a detector's task about the image of that key."""
    about = image(key, load)
    key = about.reference.key
    return Task(
        message(receive_count=receive_count),
        event(key),
        about,
        run_key(key, detector),
        is_last_receive,
    )


def run(
    key: str = "a.jpg", *, detector: str = "echo", event_id: str = "AA", outcome: str = "succeeded"
) -> RunRecord:
    """Return a run on the image of that key."""
    failed = outcome == "failed"
    return RunRecord(
        key=run_key(key, detector),
        event_id=event_id,
        outcome=outcome,
        retryable=failed,
        started_at=NOW,
        duration_ms=1.0,
        error_code="broken" if failed else None,
        error_message="it broke" if failed else None,
    )


def delivery(*runs: RunRecord, keys: tuple[str, ...] = ("a.jpg",)) -> Delivery:
    """Return the delivery of a message about these images."""
    return Delivery(
        message(),
        references=[reference(key) for key in keys],
        images=[record(key) for key in keys],
        removed=(),
        runs=runs,
        requeue_after_seconds=None,
    )
