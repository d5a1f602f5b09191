"""The small history that the recipes of docs/recipes.md are asked of: the same on every day."""

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from retinue_history import (
    ConfigurationRecord,
    DetectionRecord,
    History,
    ImageRecord,
    RemovedObject,
    RunKey,
    RunRecord,
    VideoRecord,
)
from retinue_history.db.connections import Connection
from retinue_history.privacy.image_erasure import ImageErasures, ImageSubject
from retinue_history.review.answer import Answer, AnswerItem
from retinue_history.review.answers import CORRECTIONS, findings_of, save_answer
from retinue_sdk.json_value import encode_json
from sqlalchemy import Engine

_MARCH = datetime(2026, 3, 2, 9, tzinfo=UTC)  # a Monday


def _appears(
    label: str, start_ms: int, end_ms: int, track: int, kind: str = "label"
) -> DetectionRecord:
    return DetectionRecord(kind, label, 0.9, None, "{}", start_ms, end_ms, track)


_APPEARANCES = (
    (
        _appears("Person", 2_000, 14_000, 1),
        _appears("Person", 10_000, 50_000, 2),
        _appears("Dog", 8_000, 20_000, 3),
        _appears("Zoe", 3_000, 5_000, 1, "face_match"),
    ),
    (
        _appears("Person", 0, 6_000, 1),
        _appears("Dog", 40_000, 60_000, 2),
        _appears("Zoe", 1_000, 2_000, 1, "face_match"),
        _appears("Max", 4_000, 6_000, 1, "face_match"),
    ),
)
"""What two videos of a minute show."""


def seed(history: History) -> None:
    """Record ten images, two videos, four detectors, a new model, failures, a removal."""
    history.record_configurations(
        [
            ConfigurationRecord("objects", "1", "f1", encode_json({"min_confidence": 0.5})),
            ConfigurationRecord("objects", "2", "f2", encode_json({"min_confidence": 0.4})),
        ]
    )
    images = [_image(number) for number in range(10)]
    runs: list[RunRecord] = []
    for number, image in enumerate(images[:9]):
        runs.append(_run(image, "objects", "1", number, _objects(number)))
    for number, image in enumerate(images[:4]):
        runs.append(_run(image, "scenes", "1", number, _scenes(number), price="0.001"))
        runs.append(_run(image, "objects", "2", number + 168, _objects(number, lower_by=0.1)))
    runs.append(_run(images[4], "words", "1", 4, (_text("NO PARKING"), _text("Main Street 12"))))
    runs.append(_run(images[5], "words", "1", 5, ()))
    runs.append(_failure(images[5], "words", "throttled", "too many requests", event_id="9"))
    runs.append(
        _failure(images[9], "objects", "corrupt_image", "cannot be decoded", retryable=False)
    )
    runs.append(_failure(images[8], "scenes", "throttled", "too many requests"))
    videos = [_image(number, f"gate/{number}.mp4") for number in (3, 4)]
    for video, appearances in zip(videos, _APPEARANCES, strict=True):
        runs.append(_run(video, "video", "1", 1, appearances, price="0.1"))
    gone = RemovedObject("photos", images[8].key, None, "20", _MARCH + timedelta(days=20))
    facts = [VideoRecord(video.image_id, 60_000, 25.0, "h264", "mp4") for video in videos]
    history.record([*images, *videos], runs, [gone], facts)


def erase(history: History, engine: Engine) -> None:
    """Forget two more images of somebody's, and begin to forget another prefix."""
    images = [_image(number, f"ann/{number}.jpg") for number in (0, 1)]
    runs = [_run(image, "objects", "1", 0, _objects(0)) for image in images]
    history.record(images, runs)
    erasures = ImageErasures(engine)
    subject = ImageSubject.prefix("s3://photos/ann/")
    erasure_id, until = erasures.open(subject)
    erasures.wait_for_writers()
    for _ in erasures.erase(erasure_id, subject, until):
        pass
    erasures.close(erasure_id)
    erasures.open(ImageSubject.image("s3://photos/bob.jpg"))


def review(connection: Connection) -> None:
    """Let Ann correct two images, and Ben disagree with her about one of them."""
    for number, person in ((0, "ann"), (1, "ann"), (1, "ben")):
        image = _image(number)
        found = findings_of(connection, image.image_id, detectors=["objects"])
        items = [AnswerItem.of("accept", one) for one in found]
        if person == "ben" or number == 0:
            items[0] = AnswerItem.of("reject", found[0])
        answer = Answer(tuple(items), exhaustive=True)
        key = UUID(int=number * 2 + (person == "ben"))
        save_answer(connection, CORRECTIONS, image.image_id, person, answer, key=key)


def _image(number: int, key: str | None = None) -> ImageRecord:
    folder = "street" if number < 6 else "garden"
    key, when = key or f"{folder}/{number}.jpg", _MARCH + timedelta(days=number)
    size = (1920, 1080) if number % 2 == 0 else (None, None)
    return ImageRecord(
        _image_id(key), "photos", key, "v1", True, when, "10", None, 1000 * (number + 1), *size
    )


def _objects(number: int, lower_by: float = 0.0) -> tuple[DetectionRecord, ...]:
    """Return cars in the streets, cats in the gardens, and an image without findings."""
    left = round(0.1 + lower_by / 10, 2)
    if number == 7:
        return ()
    if number >= 6:
        return (_found("Cat", 0.9, left, "Animal"),)
    cars = [_found("Car", round(0.95 - number / 20 - lower_by, 2), left, "Vehicle")]
    if number % 3 == 0:
        cars.append(_found("Car", 0.6, 0.7, "Vehicle"))
    if number == 1 and not lower_by:
        cars.append(_found("Bus", 0.55, 0.5, "Vehicle"))
    if number == 2:
        cars.append(_found("Bicycle", 0.7, 0.4, "Vehicle"))
    return tuple(cars)


def _scenes(number: int) -> tuple[DetectionRecord, ...]:
    found = [DetectionRecord("label", "Street", 0.8)]
    if number < 2:
        found.append(_found("car", 0.85, 0.11, "Vehicle"))
    if number == 3:
        found.append(_found("Person", 0.75, 0.5, "Human"))
    return tuple(found)


def _found(label: str, confidence: float, left: float, parent: str) -> DetectionRecord:
    return DetectionRecord(
        "label", label, confidence, (left, 0.2, 0.2, 0.25), encode_json({"parents": [parent]})
    )


def _text(label: str) -> DetectionRecord:
    return DetectionRecord("text", label, 0.99, (0.3, 0.3, 0.2, 0.05))


def _run(
    image: ImageRecord,
    detector: str,
    version: str,
    hours: int,
    found: tuple[DetectionRecord, ...],
    price: str = "0",
) -> RunRecord:
    return RunRecord(
        RunKey(image.image_id, detector, version, f"f{version}"),
        "10",
        "succeeded",
        False,
        image.uploaded_at + timedelta(hours=hours),
        20.0 + hours,
        model_version=f"m{version}",
        billed_units=Decimal(1 if Decimal(price) else 0),
        price_usd=Decimal(price),
        detections=found,
    )


def _failure(
    image: ImageRecord,
    detector: str,
    code: str,
    message: str,
    *,
    retryable: bool = True,
    event_id: str = "10",
) -> RunRecord:
    return RunRecord(
        RunKey(image.image_id, detector, "1", "f1"),
        event_id,
        "failed",
        retryable,
        image.uploaded_at + timedelta(minutes=1),
        5.0,
        error_code=code,
        error_message=message,
    )


def _image_id(key: str) -> UUID:
    digest = bytearray(hashlib.sha256(f"photos\nv1\n{key}".encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))
