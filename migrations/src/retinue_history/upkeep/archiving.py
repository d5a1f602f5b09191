"""Take a month of detections out of Postgres, after its rows were copied to an archive.

1. ``begin`` attaches a trigger to the partition, which notes each change of a row.
2. The caller copies ``sorted_rows`` and publishes the copy.
3. ``drop`` drops the partition, unless the trigger noted a change. Then all is repeated.

Both lock the partition only for a moment. A copy has the number of its attempt, which stays the
same until the partition is dropped. After a crash, a later copy of the attempt replaces it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

from psycopg import sql
from sqlalchemy import Connection, Engine, text

from retinue_history.db.engine import map_engine_errors
from retinue_history.db.errors import HistoryUnavailableError
from retinue_history.db.lock_retry import LOCK_TIMEOUT, retry_on_lock_timeout

ARCHIVED_COLUMNS = (
    "detection_id", "run_id", "image_id", "bucket", "key", "version", "detector",
    "detector_version", "fingerprint", "model_version", "ordinal", "kind", "label", "confidence",
    "box_left", "box_top", "box_width", "box_height", "attributes", "detected_at", "uploaded_at",
    "deleted_at", "width_px", "height_px", "start_ms", "end_ms", "track",
)  # fmt: skip
"""The columns of ``archived_rows``, in order: those of ``detection_history`` that aren't computed
from others.
"""

_TRIES = 60
_COPIES = 3


@dataclass(frozen=True, slots=True)
class LeavingMonth:
    """A month of detections that leaves Postgres.

    Attributes:
        partition: Name of its partition.
        starts: When the month begins, in UTC.
        attempt: Identifies the copy.
    """

    partition: str
    starts: datetime
    attempt: UUID

    @property
    def ends(self) -> datetime:
        """Return when the next month begins."""
        return next_month(self.starts)


class Destination(Protocol):
    """The archive to which months of detections go."""

    @property
    def name(self) -> str:
        """Return the archive's name, such as ``s3://bucket/prefix``."""

    def prepare(self) -> None:
        """Check that the archive can be written, and finish what a crash interrupted.

        No other process changes the archive until ``maintain`` ends.
        """

    def copy(self, month: LeavingMonth) -> None:
        """Copy a month's rows and publish them.

        A repeated call with the same attempt replaces what an earlier one published.
        """


def archives_in_use(engine: Engine) -> frozenset[str]:
    """Return the names of the archives that have months of this history.

    Raises:
        HistoryUnavailableError: The database can't answer.
    """
    with map_engine_errors(), engine.connect() as connection:
        return frozenset(connection.scalars(text("SELECT DISTINCT archive FROM archived_months")))


def next_month(month: datetime) -> datetime:
    """Return the beginning of the month after the one that begins at a time, in UTC."""
    return (month.astimezone(UTC) + timedelta(days=31)).replace(day=1)


def archived_rows(starts: datetime, ends: datetime) -> sql.Composed:
    """Return SQL for detections from a time to another, with the columns ``ARCHIVED_COLUMNS``."""
    return sql.SQL(
        "SELECT {} FROM detection_history WHERE detected_at >= {} AND detected_at < {}"
    ).format(sql.SQL(", ").join(map(sql.Identifier, ARCHIVED_COLUMNS)), starts, ends)


def sorted_rows(month: LeavingMonth) -> sql.Composed:
    """Return SQL for the detections of a month, sorted by detector, label and time."""
    return sql.SQL(
        '{} ORDER BY detector COLLATE "C", label COLLATE "C", detected_at, detection_id'
    ).format(archived_rows(month.starts, month.ends))


def archive_month(
    connection: Connection, destination: Destination, partition: str, starts: datetime
) -> None:
    """Copy a month's detections to the archive, then drop its partition.

    Raises:
        HistoryUnavailableError: The month changed during each of several copies, or was in use.
    """
    for _ in range(_COPIES):
        destination.copy(_begin(connection, destination, partition, starts))
        if _drop(connection, partition):
            return
    raise HistoryUnavailableError(
        f"{partition} changed while it was copied to the archive, {_COPIES} times in a row. It was "
        "kept. Run the same command when nothing records detections of that month"
    )


def _begin(
    connection: Connection, destination: Destination, partition: str, starts: datetime
) -> LeavingMonth:
    """Note the beginning of a copy, and watch the partition for changes from now on."""

    def transaction() -> UUID:
        with connection.begin():
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            # The trigger's lock waits for the transactions that have written to the partition.
            connection.execute(
                text(
                    f"CREATE OR REPLACE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE "
                    f'ON "{partition}" FOR EACH ROW EXECUTE FUNCTION note_archiving_change()'
                )
            )
            attempt: UUID = connection.execute(
                _NOTE_BEGINNING, {"partition": partition, "archive": destination.name}
            ).scalar_one()
            return attempt

    attempt = retry_on_lock_timeout(transaction, tries=_TRIES)
    return LeavingMonth(partition, starts, attempt)


def _drop(connection: Connection, partition: str) -> bool:
    """Drop a partition that didn't change since its copy began. Return whether it was dropped."""

    def transaction() -> bool:
        with connection.begin():
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            # In the order in which writers lock.
            connection.execute(text("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE"))
            connection.execute(text(f'LOCK TABLE "{partition}" IN ACCESS EXCLUSIVE MODE'))
            if connection.execute(_NOTE_END, {"partition": partition}).rowcount == 0:
                return False
            connection.execute(text(f'DROP TABLE "{partition}"'))
            return True

    return retry_on_lock_timeout(transaction, tries=_TRIES)


_NOTE_BEGINNING = text("""
    INSERT INTO archived_months AS known (partition, archive, attempt)
    VALUES (:partition, :archive, gen_random_uuid())
    ON CONFLICT (partition) DO UPDATE SET
        archive = excluded.archive,
        attempt = CASE WHEN known.archived_at IS NULL THEN known.attempt ELSE excluded.attempt END,
        changed = false,
        archived_at = NULL
    RETURNING attempt
""")
"""A partition that was dropped exists again if detections of its month came late."""

_NOTE_END = text("""
    UPDATE archived_months SET archived_at = now() WHERE partition = :partition AND NOT changed
""")
