"""Deliveries and attempts out of nothing."""

from datetime import UTC, datetime
from itertools import count

from retinue_history import ImageRecord, RunKey, RunRecord
from retinue_sdk import Image, ImageReference
from retinue_workers.attempt import Attempt
from retinue_workers.work import Delivery, Message, Sighting

NOW = datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)
_numbers = count(1)


def message(body: str = "{}", receive_count: int = 1) -> Message:
    """A message that was just received."""
    number = next(_numbers)
    return Message(f"m{number}", f"m{number}#{receive_count}", body, receive_count)


def delivery(*keys: str, receive_count: int = 1, last_receive: bool = False) -> Delivery:
    """A delivery of a message about these objects."""
    return Delivery(
        message(receive_count=receive_count),
        last_receive,
        sightings=[sighting(key) for key in keys or ["a.jpg"]],
        expected=len(keys) or 1,
    )


def sighting(key: str) -> Sighting:
    """An image of that key."""
    reference = ImageReference("photos", key, etag="e")
    record = ImageRecord(
        reference.image_id, "photos", key, "e", versioned=False, uploaded_at=NOW, sequencer="AA"
    )
    return Sighting(reference, record, "AA")


def unread() -> bytes:
    """The bytes of an image that nobody must read."""
    raise AssertionError("the image was read")


def attempt(
    key: str = "a.jpg", *, of: Delivery | None = None, detector: str = "echo", event_id: str = "AA"
) -> Attempt:
    """An attempt of a detector on the image of that key."""
    reference = ImageReference("photos", key, etag="e")
    run_key = RunKey(reference.image_id, detector, "1", "f" * 32)
    return Attempt(of or delivery(key), Image(reference, unread), run_key, event_id)


def run(
    key: str = "a.jpg", *, detector: str = "echo", event_id: str = "AA", outcome: str = "succeeded"
) -> RunRecord:
    """A run on the image of that key."""
    failed = outcome == "failed"
    return RunRecord(
        key=attempt(key, detector=detector).key,
        event_id=event_id,
        outcome=outcome,
        retryable=failed,
        started_at=NOW,
        duration_ms=1.0,
        error_code="broken" if failed else None,
        error_message="it broke" if failed else None,
    )
