"""Maintain a history: add months ahead of time, and delete data past its retention.

Every step runs in short transactions, and can be interrupted and repeated. None blocks others: a
lock that isn't free within a second is given up and requested again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from retinue_history.db.advisory_lock import advisory_lock
from retinue_history.db.engine import (
    driver_connection,
    map_engine_errors,
    without_statement_limit,
)
from retinue_history.db.errors import HistoryError
from retinue_history.db.lock_retry import LOCK_TIMEOUT, retry_on_lock_timeout
from retinue_history.privacy.label_pruning import prune_labels
from retinue_history.schema.version import check_schema
from retinue_history.upkeep import retention
from retinue_history.upkeep.archiving import Destination, archive_month, archives_in_use

MONTHS_AHEAD = 3
"""Months whose partitions exist before they begin. Maintenance may fail for that long."""

_LOCK = 0x5245_5449_4E55_4503  # "RETINU", 3: held during maintenance; 2 is that of erasures
_LOCK_REFUSAL = "another process is maintaining this database"
_TRIES = 60
_LOCK_RUNS = "LOCK TABLE runs IN ACCESS EXCLUSIVE MODE"


@dataclass(frozen=True, slots=True)
class Retention:
    """The retention of each kind of data. ``None`` keeps it permanently.

    Attributes:
        detections_months: Whole months of detections to keep beside the current one. Runs and the
            daily counts are always kept.
        raw_responses_days: Days to keep the detectors' raw responses.
        deleted_images_days: Days to keep an image with its runs and detections after its removal
            from S3.
    """

    detections_months: int | None = None
    raw_responses_days: int | None = None
    deleted_images_days: int | None = 30


class DeletedImage(NamedTuple):
    """An image that the history believes to be deleted; the fields are those of ``images``."""

    image_id: UUID
    bucket: str
    key: str
    version: str
    versioned: bool


FindServed: TypeAlias = Callable[[Sequence[DeletedImage]], Mapping[UUID, datetime | None]]
"""Return when S3 was seen to serve images that count as deleted. ``None``: S3 could not be queried
for this one. Images that S3 doesn't serve are omitted.
"""


def _nothing_served(images: Sequence[DeletedImage]) -> Mapping[UUID, datetime | None]:
    del images
    return {}


def maintain(
    engine: Engine,
    keep: Retention,
    *,
    dry_run: bool = False,
    tell: Callable[[str], None],
    find_served: FindServed = _nothing_served,
    archive: Destination | None = None,
) -> None:
    """Add partitions and apply the retention. Idempotent.

    Args:
        engine: The database, as the tables' owner.
        keep: The retention.
        dry_run: Only report the steps.
        tell: Called with one line per step.
        find_served: Called with up to 500 images before they are purged. Those that S3 serves
            count as deleted no longer.
        archive: Where months of detections go when they are dropped.

    Raises:
        HistoryError: Months of this history are in another archive.
        HistorySchemaError: The database is not migrated.
        HistoryUnavailableError: It can't be reached, the login isn't the owner, another process is
            maintaining it, or a table was in use for too long.
    """
    with map_engine_errors(), engine.connect() as connection:
        check_schema(driver_connection(connection))
    check_archives(engine, None if archive is None else archive.name)
    now = datetime.now(UTC)
    engine = without_statement_limit(engine)
    with (
        map_engine_errors(),
        maintenance_lock(engine),
        engine.connect() as connection,
    ):
        if archive is not None and not dry_run:
            archive.prepare()
        _add_months(connection, dry_run, tell)
        if keep.detections_months is not None:
            before = months_before(now, keep.detections_months)
            _drop_months(connection, before, archive, dry_run, tell)
        if keep.raw_responses_days is not None:
            before = now - timedelta(days=keep.raw_responses_days)
            _in_batches(connection, retention.RAW_RESPONSES, {"before": before}, dry_run, tell)
        if keep.deleted_images_days is not None:
            before = now - timedelta(days=keep.deleted_images_days)
            _purge_images(connection, before, find_served, dry_run, tell)
            _in_batches(connection, retention.OLD_REMOVALS, {"before": before}, dry_run, tell)
        if dry_run:
            return
        for merge in (retention.MERGE_LABEL_COUNTS, retention.MERGE_RUN_COUNTS):
            with connection.begin():
                connection.execute(merge, {"before": now.date() - timedelta(days=1)})
        for _ in prune_labels(engine):  # of the purged images
            pass
        with connection.begin():
            # Autovacuum analyzes only partitions; the planner also needs statistics of the whole.
            connection.execute(text("ANALYZE detections"))


@contextmanager
def maintenance_lock(engine: Engine) -> Iterator[None]:
    """Keep others from maintaining the database, or changing its archive, for a ``with`` block.

    Raises:
        HistoryUnavailableError: Another process does.
    """
    with advisory_lock(engine, _LOCK, refusal=_LOCK_REFUSAL):
        yield


def check_archives(engine: Engine, configured: str | None) -> None:
    """Check that the configured archive is the only one with months of this history.

    Raises:
        HistoryError: It isn't.
    """
    others = archives_in_use(engine) - {configured}
    if others:
        raise HistoryError(
            f"months of this history are in the archive {', '.join(sorted(others))}, and "
            f"RETINUE_ARCHIVE is {configured or 'not set'}. Set it to that archive. If the archive "
            "was moved, change archived_months.archive as the tables' owner"
        )


def months_before(moment: datetime, months: int) -> datetime:
    """Return the start of the month, in UTC, that is ``months`` before that of ``moment``."""
    count = moment.year * 12 + moment.month - 1 - months
    return datetime(count // 12, count % 12 + 1, 1, tzinfo=UTC)


def _add_months(connection: Connection, dry_run: bool, tell: Callable[[str], None]) -> None:
    if dry_run:
        query = "SELECT partition FROM missing_detections_months(:ahead)"
    else:
        query = "SELECT add_detections_months(:ahead)"
    with connection.begin():
        missing = connection.scalar(
            text("SELECT count(*) FROM missing_detections_months(:ahead)"),
            {"ahead": MONTHS_AHEAD},
        )
    if missing:
        for name in _with_lock_retry(connection, query, {"ahead": MONTHS_AHEAD}):
            tell(f"{'would add' if dry_run else 'added'} {name}")


def _drop_months(
    connection: Connection,
    before: datetime,
    archive: Destination | None,
    dry_run: bool,
    tell: Callable[[str], None],
) -> None:
    """Drop past months, and delete old rows from partitions that also have newer ones.

    With an archive, whole months are copied to it first, and other partitions stay. The next
    maintenance moves old rows of ``detections_default`` into partitions of their months.
    """
    with connection.begin():
        partitions = connection.execute(
            text("""
                SELECT
                    partition,
                    CASE WHEN timezone('UTC', ends) = timezone('UTC', starts) + interval '1 month'
                    THEN starts END,
                    ends <= :before
                FROM detections_partitions() WHERE starts < :before
                UNION ALL SELECT 'detections_default', NULL, false
            """),
            {"before": before},
        ).all()
    for name, month, is_over in partitions:
        if archive is not None:
            if month is not None and is_over:
                if not dry_run:
                    archive_month(connection, archive, name, month.astimezone(UTC))
                tell(f"{'would archive' if dry_run else 'archived'} {name} in {archive.name}")
            continue
        if not is_over:
            _in_batches(
                connection, retention.old_detections(name), {"before": before}, dry_run, tell
            )
            continue
        if not dry_run:
            # Lock in the order in which writers do.
            _with_lock_retry(connection, f"{_LOCK_RUNS}; DROP TABLE {name}")
        tell(f"{'would drop' if dry_run else 'dropped'} {name}")


def _purge_images(
    connection: Connection,
    before: datetime,
    find_served: FindServed,
    dry_run: bool,
    tell: Callable[[str], None],
) -> None:
    """Purge images that were deleted before a time, unless S3 still serves them."""
    purged = revived = unknown = 0
    after: UUID | None = None
    while True:
        with connection.begin():
            rows = connection.execute(retention.DELETED_IMAGES, {"before": before, "after": after})
            images = [DeletedImage(*row) for row in rows]
        if not images:
            break
        after = images[-1].image_id
        found = find_served(images)
        served = {image_id: at for image_id, at in found.items() if at is not None}
        gone = [image.image_id for image in images if image.image_id not in found]
        revived += len(served)
        unknown += len(found) - len(served)
        if dry_run:
            purged += len(gone)
            continue
        with connection.begin():
            given: dict[str, Any] = {"ids": [*served], "served_ats": [*served.values()]}
            for statement in retention.REVIVE_IMAGES:
                connection.execute(statement, given)
        with connection.begin():
            count = 0
            for statement in retention.PURGE_IMAGES:
                count = connection.execute(statement, {"ids": gone, "before": before}).rowcount
            purged += count
    would = "would have " if dry_run else ""
    if purged:
        tell(f"{would}purged {purged:,} deleted images")
    if revived:
        tell(f"{would}kept {revived:,} images that counted as deleted, because S3 serves them")
    if unknown:
        tell(f"{would}kept {unknown:,} deleted images, because S3 could not be asked about them")


def _in_batches(
    connection: Connection,
    step: retention.Step,
    given: dict[str, Any],
    dry_run: bool,
    tell: Callable[[str], None],
) -> None:
    """Repeat a step until it finds no more rows."""
    if dry_run:
        with connection.begin():
            done = connection.scalar(text(step.count), given) or 0
    else:
        done = 0
        while True:
            with connection.begin():
                changed = 0
                for statement in step.statements:
                    changed = connection.execute(text(statement), given).rowcount
            done += changed
            if changed == 0:
                break
    if done:
        tell(f"{'would have ' if dry_run else ''}{step.what.format(f'{done:,}')}")


def _with_lock_retry(
    connection: Connection, sql: str, given: dict[str, Any] | None = None
) -> list[Any]:
    """Run a transaction. Repeat it while a lock isn't free within a second."""

    def transaction() -> list[Any]:
        with connection.begin():
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            result = connection.execute(text(sql), given or {})
            return list(result.scalars()) if result.returns_rows else []

    return retry_on_lock_timeout(transaction, tries=_TRIES)
