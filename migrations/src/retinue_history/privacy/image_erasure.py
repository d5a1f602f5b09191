"""Erase images: all data of an image, of an object, or under a prefix.

The steps are those of ``erasure.py``: forbid and commit, wait for writers that may not have seen
it, delete in small transactions, verify, and mark the erasure complete. An image's row is deleted
last in its transaction, so that the rest can still be found.

The audit row holds a digest of the subject, counts and times. Objects in S3 stay.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from retinue_history.analysis.selection import ImageName
from retinue_history.db.engine import map_engine_errors
from retinue_history.db.error_mapping import is_conflict
from retinue_history.db.errors import HistoryUnavailableError
from retinue_history.privacy.erasure import Erasure, Erasures, add_removed, close_erasure
from retinue_history.privacy.image_deletion import delete_images
from retinue_history.privacy.label_pruning import prune_labels
from retinue_history.privacy.planner_stats import PEOPLE, refresh_history_stats, refresh_stats
from retinue_history.privacy.write_barrier import exclude_writers

BATCH_IMAGES = 500
"""Maximum number of images in a transaction, with their runs and detections: about 0.1 s."""

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class ImageSubject:
    """The images to erase.

    Attributes:
        kind: ``image`` (one version of an object), ``object`` (all versions), ``key`` (an object's
            key, in any bucket) or ``prefix`` (all keys of a bucket with that prefix).
        name: An image id, ``s3://bucket/key``, a key, or ``s3://bucket/prefix``.
        image_id: The image's id, for an image.
        bucket: The bucket, if given.
        key: The key or its prefix; empty for a whole bucket.
    """

    kind: Literal["image", "object", "key", "prefix"]
    name: str
    image_id: UUID | None = None
    bucket: str | None = None
    key: str = ""

    @classmethod
    def image(cls, told: str) -> "ImageSubject":
        """Parse an image id, an object's URI, or a key.

        Raises:
            ValueError: The text has none of these forms.
        """
        found = ImageName.parse(told)
        if found.image_id is not None:
            return cls("image", str(found.image_id), found.image_id)
        key = found.key or ""
        if found.bucket is None:
            return cls("key", key, key=key)
        return cls("object", f"s3://{found.bucket}/{key}", bucket=found.bucket, key=key)

    @classmethod
    def prefix(cls, told: str) -> "ImageSubject":
        """Parse ``s3://bucket/prefix``, or ``s3://bucket/`` for a whole bucket.

        Raises:
            ValueError: The bucket is missing.
        """
        bucket, _, prefix = told.removeprefix("s3://").partition("/")
        if not told.startswith("s3://") or not bucket:
            raise ValueError(f"{told!r} names no prefix: write s3://bucket/prefix")
        return cls("prefix", f"s3://{bucket}/{prefix}", bucket=bucket, key=prefix)

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the statements below."""
        return {
            "kind": self.kind,
            "subject": self.name,
            "image_id": self.image_id,
            "bucket": self.bucket,
            "key": self.key,
            "prefix_length": len(self.key) if self.kind == "prefix" else None,
        }

    def condition(self, table: str) -> str:
        """Return SQL over the columns of ``images`` or ``removals``."""
        if self.kind == "image":
            if table == "images":
                return "images.image_id = CAST(:image_id AS uuid)"
            return (
                "removals.version <> '' AND image_id(removals.bucket, removals.key, "
                "removals.version) = CAST(:image_id AS uuid)"
            )
        key = f"starts_with({table}.key, :key)" if self.kind == "prefix" else f"{table}.key = :key"
        return key if self.bucket is None else f"{table}.bucket = :bucket AND {key}"


@dataclass(frozen=True, slots=True)
class ImageTraces:
    """The data of a subject in the history.

    Attributes:
        images: Images.
        runs: Runs of them, skips included, with their raw responses.
        detections: Their detections, except those of dropped months.
        removals: Recorded removals of the objects.
        truths: Ground truths of the images.
        answers: People's answers about them.
        jobs: Open jobs that process them.
        buckets: The buckets of the images.
    """

    images: int
    runs: int
    detections: int
    removals: int
    truths: int
    answers: int
    jobs: int
    buckets: Sequence[str]

    @property
    def is_empty(self) -> bool:
        """Return whether the history has no data of the subject."""
        return not (self.images or self.removals)


_FORBID = text("""
    INSERT INTO erased_images (digest, prefix_length, erased_until, erasure_id)
    VALUES (erasure_digest(:kind || ':' || :subject), :prefix_length, now(), :erasure_id)
    ON CONFLICT (digest) DO UPDATE
        SET erased_until = excluded.erased_until, erasure_id = excluded.erasure_id
    RETURNING erased_until
""")

_ALLOW_AGAIN = text("""
    DELETE FROM erased_images WHERE digest = erasure_digest(:kind || ':' || :subject)
""")

_STALE_REMOVAL = """
    (removals.removed_at <= :until OR NOT EXISTS (
        SELECT FROM images
        WHERE images.bucket = removals.bucket AND images.key = removals.key
    ))
"""


class ImageErasures:
    """Erases images of one database.

    Args:
        engine: From ``create_history_engine``, with two connections; the login must own the
            tables. Set a statement timeout long enough for a large history.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def last(self, subject: ImageSubject) -> Erasure | None:
        """Return the last erasure of a subject; ``None`` if none was requested."""
        return Erasures(self._engine).last(subject.kind, subject.name)

    def open(self, subject: ImageSubject) -> tuple[int, datetime]:
        """Begin an erasure, or continue an unfinished one, and forbid the images.

        Returns:
            The erasure's id, and the time up to which uploads are erased: now.
        """
        with map_engine_errors(), self._engine.begin() as connection:
            erasure_id = Erasures.begin(connection, subject.kind, subject.name)
            until: datetime = connection.execute(
                _FORBID, {**subject.parameters, "erasure_id": erasure_id}
            ).scalar_one()
        return erasure_id, until

    def wait_for_writers(self) -> None:
        """Wait for the end of transactions that may not have seen the forbidden images.

        Raises:
            HistoryUnavailableError: A transaction of a worker took too long.
        """
        with map_engine_errors(), self._engine.begin() as connection:
            exclude_writers(connection)

    def count(self, subject: ImageSubject, until: datetime | None = None) -> ImageTraces:
        """Count a subject's data in the history.

        Args:
            subject: The images.
            until: Only uploads up to this time; now by default.
        """
        question = text(f"""
            WITH doomed AS MATERIALIZED (SELECT image_id FROM images WHERE {_doomed(subject)})
            SELECT
                (SELECT count(*) FROM doomed),
                (SELECT count(*) FROM runs JOIN doomed USING (image_id)),
                (SELECT count(*) FROM doomed JOIN runs USING (image_id) JOIN detections
                ON detections.run_id = runs.run_id AND detections.detected_at = runs.started_at),
                (SELECT count(*) FROM removals
                WHERE {subject.condition("removals")} AND {_STALE_REMOVAL}),
                (SELECT count(*) FROM truths JOIN doomed USING (image_id)),
                (SELECT count(*) FROM answers JOIN doomed USING (image_id)),
                (SELECT count(*) FROM jobs JOIN doomed USING (image_id)),
                (SELECT coalesce(array_agg(DISTINCT bucket), '{{}}')
                FROM images JOIN doomed USING (image_id))
        """)  # noqa: S608 - ours
        with map_engine_errors(), self._engine.connect() as connection:
            row = connection.execute(question, _given(subject, until)).one()
        return ImageTraces(*row)

    def keys(self, subject: ImageSubject) -> dict[UUID, str]:
        """Return the keys of a subject's images by id."""
        question = text(f"SELECT image_id, key FROM images WHERE {_doomed(subject)}")  # noqa: S608 - ours
        with map_engine_errors(), self._engine.connect() as connection:
            rows = connection.execute(question, _given(subject, None)).all()
        return {row.image_id: row.key for row in rows}

    def erase(
        self, erasure_id: int, subject: ImageSubject, until: datetime
    ) -> Iterator[Mapping[str, int]]:
        """Delete images with their runs and detections, then removals, then unused labels.

        Finally, remove the names of erased photos from enrolled faces, and refresh the statistics.

        Yields:
            The number of deleted rows of each kind, after each commit.

        Raises:
            HistoryUnavailableError: The database doesn't answer. Committed erasures stay.
        """
        found = text(
            f"SELECT image_id FROM images WHERE {_doomed(subject)} "  # noqa: S608 - ours
            "ORDER BY uploaded_at, image_id"
        ).execution_options(stream_results=True)
        with (
            map_engine_errors(),
            self._engine.connect() as reading,
            self._engine.connect() as connection,
            reading.execute(found, _given(subject, until)) as rows,
        ):
            for ids in rows.scalars().partitions(BATCH_IMAGES):
                yield _one_batch(connection, erasure_id, ids)
            while removals := _delete_removals(connection, erasure_id, subject, until):
                yield {"removals": removals}
        for number in prune_labels(self._engine):
            yield {"labels": number}
        self._blank_photos(subject)
        refresh_history_stats(self._engine)

    def close(self, erasure_id: int) -> Erasure:
        """Mark the erasure complete."""
        with map_engine_errors(), self._engine.begin() as connection:
            return close_erasure(connection, erasure_id)

    def _blank_photos(self, subject: ImageSubject) -> None:
        """Keep a person's consent, without the name of the photo."""
        if subject.kind == "image":
            return  # a photo is named by its object, not by its version
        with map_engine_errors(), self._engine.begin() as connection:
            blanked = connection.execute(
                text(f"""
                    UPDATE faces SET photo = NULL FROM (
                        SELECT face_id, split_part(photo, '/', 3) AS bucket,
                            substr(photo, length(split_part(photo, '/', 3)) + 7) AS key
                        FROM faces WHERE starts_with(photo, 's3://')
                    ) AS named
                    WHERE named.face_id = faces.face_id AND {subject.condition("named")}
                """),  # noqa: S608 - ours
                subject.parameters,
            )
            if blanked.rowcount:
                refresh_stats(connection, PEOPLE)

    def allow_again(self, subject: ImageSubject) -> bool:
        """Allow erased images to be recorded again. This restores nothing.

        Returns:
            Whether the images were forbidden.
        """
        with map_engine_errors(), self._engine.begin() as connection:
            return connection.execute(_ALLOW_AGAIN, subject.parameters).rowcount > 0


def _doomed(subject: ImageSubject) -> str:
    return f"{subject.condition('images')} AND images.uploaded_at <= :until"


def _given(subject: ImageSubject, until: datetime | None) -> dict[str, Any]:
    return {**subject.parameters, "until": until or datetime.max.replace(tzinfo=UTC)}


def _one_batch(
    connection: Connection, erasure_id: int, image_ids: Sequence[UUID]
) -> Mapping[str, int]:
    """Delete a batch of images in a transaction; retry after a deadlock."""
    for _ in range(_ATTEMPTS):
        try:
            with connection.begin():
                removed = delete_images(connection, image_ids)
                for what, number in removed.items():
                    add_removed(connection, erasure_id, what, number)
                return removed
        except DBAPIError as error:
            if not is_conflict(error.orig):
                raise
    raise HistoryUnavailableError(
        f"a deletion conflicted with others {_ATTEMPTS} times in a row: run the same command again"
    )


def _delete_removals(
    connection: Connection, erasure_id: int, subject: ImageSubject, until: datetime
) -> int:
    """Delete removals of the objects that no remaining image needs."""
    some = text(f"""
        DELETE FROM removals WHERE removal_id = ANY (ARRAY(
            SELECT removal_id FROM removals
            WHERE {subject.condition("removals")} AND {_STALE_REMOVAL}
            LIMIT 10000
        ))
    """)  # noqa: S608 - ours
    with connection.begin():
        number = connection.execute(some, _given(subject, until)).rowcount
        add_removed(connection, erasure_id, "removals", number)
    return number
