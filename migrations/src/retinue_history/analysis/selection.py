"""Selections of the history: the conditions that all commands share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg import sql


@dataclass(frozen=True, slots=True)
class ImageName:
    """The user's name of an image. Each given part narrows the selection.

    Attributes:
        image_id: The image's id.
        bucket: The bucket's name.
        key: The object's key.
    """

    image_id: UUID | None = None
    bucket: str | None = None
    key: str | None = None

    @classmethod
    def parse(cls, text: str) -> "ImageName":
        """Parse an image id, an ``s3://bucket/key`` URI, or a key.

        Raises:
            ValueError: The URI has no bucket or no key, or the text is empty.
        """
        try:
            return cls(image_id=UUID(text))
        except ValueError:
            pass
        bucket, key = split_place(text)
        if not key:
            raise ValueError(f"{text!r} names no image: give an id, s3://bucket/key, or a key")
        return cls(bucket=bucket, key=key)

    def condition(self) -> sql.Composed:
        """Return SQL over the columns of ``images``, under that name."""
        given = {"image_id": self.image_id, "bucket": self.bucket, "key": self.key}
        return _all_of(
            sql.SQL("images.{} = {}").format(sql.Identifier(name), sql.Literal(value))
            for name, value in given.items()
            if value is not None
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """A part of the history. Omitted conditions don't restrict it.

    Attributes:
        since: Earliest start of a run, inclusive.
        until: Latest start of a run, exclusive.
        detectors: Names of detectors; any of them.
        labels: Labels; any of them.
        min_confidence: Minimum confidence, 0 to 1.
        prefix: The prefix of the key, or ``s3://bucket/prefix``.
        images: Any of these.
        image_ids: Images by their ids, any of them, and also of ``images`` if there are some.
        latest: Only the latest run of each detector on each image that still exists, as the view
            ``latest_runs`` has it; otherwise every successful run of every image.
    """

    since: datetime | None = None
    until: datetime | None = None
    detectors: Sequence[str] = ()
    labels: Sequence[str] = ()
    min_confidence: float | None = None
    prefix: str | None = None
    images: Sequence[ImageName] = ()
    image_ids: Sequence[UUID] | None = None
    latest: bool = True

    def run_condition(self) -> sql.Composed:
        """Return SQL that selects runs, over ``runs`` and ``images``, under those names."""
        conditions: list[sql.Composed] = [_compare("runs.outcome = {}", "succeeded")]
        if self.since is not None:
            conditions.append(_compare("runs.started_at >= {}", self.since))
        if self.until is not None:
            conditions.append(_compare("runs.started_at < {}", self.until))
        if self.detectors:
            conditions.append(_compare("runs.detector = ANY({})", list(self.detectors)))
        conditions.append(self.image_condition())
        if self.latest:
            conditions.append(_LATEST)
        return _all_of(conditions)

    def image_condition(self) -> sql.Composed:
        """Return SQL that selects images, over ``images``."""
        conditions: list[sql.Composed] = [sql.SQL("true").format()]
        if self.prefix is not None:
            bucket, prefix = split_place(self.prefix)
            if bucket is not None:
                conditions.append(_compare("images.bucket = {}", bucket))
            if prefix:
                conditions.append(_compare("starts_with(images.key, {})", prefix))
        if self.image_ids is not None:
            conditions.append(_compare("images.image_id = ANY({}::uuid[])", list(self.image_ids)))
        if self.images:
            anyone = sql.SQL(" OR ").join(image.condition() for image in self.images)
            conditions.append(sql.SQL("({})").format(anyone))
        return _all_of(conditions)

    def detection_condition(self) -> sql.Composed:
        """Return SQL that selects detections of those runs, over ``detections``."""
        conditions: list[sql.Composed] = [sql.SQL("detections.run_id = runs.run_id").format()]
        # A detection has its run's time. Repeating the condition enables an index or a partition.
        if self.since is not None:
            conditions.append(_compare("detections.detected_at >= {}", self.since))
        if self.until is not None:
            conditions.append(_compare("detections.detected_at < {}", self.until))
        if self.labels:
            conditions.append(_compare("detections.label = ANY({})", list(self.labels)))
        if self.min_confidence is not None:
            conditions.append(_compare("detections.confidence >= {}", self.min_confidence))
        return _all_of(conditions)


_IN_USE = sql.SQL(
    """EXISTS (
            SELECT FROM configurations_in_use AS used
            WHERE used.detector = {runs}.detector
                AND used.detector_version = {runs}.detector_version
                AND used.fingerprint = {runs}.fingerprint
        )"""
)

IN_USE = _IN_USE.format(runs=sql.Identifier("runs"))
"""SQL for whether a pool uses the options of a run, over ``runs``, under that name."""

LATEST_FIRST = sql.SQL(
    """runs.outcome = 'succeeded' DESC, runs.model_version IS DISTINCT FROM 'emulator' DESC,
        {in_use} DESC, runs.started_at DESC, runs.run_id DESC"""
).format(in_use=IN_USE)
"""SQL that sorts a detector's runs of an image, also of one that is gone: over ``runs``.

The first one is the latest, or else an emulator's, or else the newest attempt.
"""

KEPT = sql.SQL(
    """(runs.detection_count = 0 OR EXISTS (
            SELECT FROM detections AS kept
            WHERE kept.run_id = runs.run_id AND kept.detected_at = runs.started_at
        ))"""
)
"""SQL for whether a run's detections still exist, over ``runs``. Runs outlive the months
of their detections; such a run is not one that found nothing."""

_LATEST = sql.SQL(
    """images.deleted_at IS NULL
    AND runs.model_version IS DISTINCT FROM 'emulator'
    AND NOT EXISTS (
        SELECT FROM runs AS other
        WHERE other.image_id = runs.image_id
            AND other.detector = runs.detector
            AND other.outcome = 'succeeded'
            AND other.model_version IS DISTINCT FROM 'emulator'
            AND other.run_id <> runs.run_id
            AND ({other_in_use}, other.started_at, other.run_id)
                > ({in_use}, runs.started_at, runs.run_id)
    )"""
).format(other_in_use=_IN_USE.format(runs=sql.Identifier("other")), in_use=IN_USE)
"""SQL as in the view ``latest_detections``, for runs, including empty ones."""


def split_place(text: str) -> tuple[str | None, str]:
    """Return the bucket, if an ``s3://`` URI names one, and the rest.

    Raises:
        ValueError: The URI names no bucket.
    """
    if not text.startswith("s3://"):
        return None, text
    bucket, _, rest = text.removeprefix("s3://").partition("/")
    if not bucket:
        raise ValueError(f"{text!r} names no bucket: write s3://bucket/key")
    return bucket, rest


def _compare(condition: LiteralString, value: object) -> sql.Composed:
    return sql.SQL(condition).format(sql.Literal(value))


def _all_of(conditions: Iterable[sql.Composed]) -> sql.Composed:
    return sql.SQL("\n    AND ").join(conditions)
