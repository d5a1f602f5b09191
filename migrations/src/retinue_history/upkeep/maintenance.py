"""Maintain a history: add months ahead of time, and delete what is past its retention.

Every step runs in short transactions, and can be interrupted and repeated. None blocks others: a
lock that isn't free within a second is given up and requested again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, text

from retinue_history.db.advisory_lock import advisory_lock
from retinue_history.db.engine import without_statement_limit
from retinue_history.db.error_mapping import map_errors
from retinue_history.db.lock_retry import LOCK_TIMEOUT, retry_on_lock_timeout
from retinue_history.privacy.label_pruning import prune_labels
from retinue_history.schema.version import check_schema
from retinue_history.upkeep import retention

MONTHS_AHEAD = 3
"""Months whose partitions exist before they begin. Maintenance can fail for that long."""

_LOCK = 0x5245_5449_4E55_4503  # "RETINU", 3: held during maintenance; 2 is that of erasures
_TRIES = 60
_LOCK_RUNS = "LOCK TABLE runs IN ACCESS EXCLUSIVE MODE"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long to keep what; ``None`` keeps it forever.

    Attributes:
        detections_months: Whole months of detections to keep beside the current one. Runs and the
            daily counts of labels are always kept.
        raw_responses_days: Days to keep the detectors' raw responses.
        deleted_images_days: Days to keep an image with its runs and detections after its removal
            from S3.
    """

    detections_months: int | None = None
    raw_responses_days: int | None = None
    deleted_images_days: int | None = 30


def maintain(
    engine: Engine,
    keep: Retention,
    *,
    dry_run: bool = False,
    tell: Callable[[str], None],
) -> None:
    """Add partitions and apply the retention. Idempotent.

    Args:
        engine: The database, as the tables' owner.
        keep: The retention.
        dry_run: Only report what would be done.
        tell: Called with one line for each thing that was done, or would be.

    Raises:
        HistorySchemaError: The database is not migrated.
        HistoryUnavailableError: It can't be reached, the login isn't the owner, another process is
            maintaining it, or a table was in use for too long.
    """
    check_schema(engine)
    now = datetime.now(UTC)
    engine = without_statement_limit(engine)
    with (
        map_errors(),
        advisory_lock(engine, _LOCK, refusal="another process is maintaining this database"),
        engine.connect() as connection,
    ):
        _add_months(connection, dry_run, tell)
        if keep.detections_months is not None:
            _drop_months(connection, months_before(now, keep.detections_months), dry_run, tell)
        if keep.raw_responses_days is not None:
            before = now - timedelta(days=keep.raw_responses_days)
            _in_batches(connection, retention.RAW_RESPONSES, {"before": before}, dry_run, tell)
        if keep.deleted_images_days is not None:
            before = now - timedelta(days=keep.deleted_images_days)
            _in_batches(connection, retention.DELETED_IMAGES, {"before": before}, dry_run, tell)
            _in_batches(connection, retention.OLD_REMOVALS, {"before": before}, dry_run, tell)
        if dry_run:
            return
        with connection.begin():
            connection.execute(retention.MERGE_COUNTS, {"before": now.date() - timedelta(days=2)})
        for _ in prune_labels(engine):  # of what was purged
            pass
        with connection.begin():
            # Autovacuum analyzes only partitions; the planner also needs statistics of the whole.
            connection.execute(text("ANALYZE detections"))


def months_before(moment: datetime, months: int) -> datetime:
    """Return the start of the month, in UTC, that is ``months`` before the one of ``moment``."""
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
    connection: Connection, before: datetime, dry_run: bool, tell: Callable[[str], None]
) -> None:
    """Drop months that are past, and delete old rows from partitions that also hold newer ones."""
    with connection.begin():
        partitions = connection.execute(
            text(
                "SELECT partition, ends <= :before FROM detections_partitions() "
                "WHERE starts < :before UNION ALL SELECT 'detections_default', false"
            ),
            {"before": before},
        ).all()
    for name, is_over in partitions:
        if not is_over:
            _in_batches(
                connection, retention.old_detections(name), {"before": before}, dry_run, tell
            )
            continue
        if not dry_run:
            # Lock in the order in which writers do.
            _with_lock_retry(connection, f"{_LOCK_RUNS}; DROP TABLE {name}")
        tell(f"{'would drop' if dry_run else 'dropped'} {name}")


def _in_batches(
    connection: Connection,
    step: retention.Step,
    given: dict[str, Any],
    dry_run: bool,
    tell: Callable[[str], None],
) -> None:
    """Repeat a step until it finds nothing more."""
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
    """Run a transaction, and again while a lock isn't free within a second."""

    def transaction() -> list[Any]:
        with connection.begin():
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            result = connection.execute(text(sql), given or {})
            return list(result.scalars()) if result.returns_rows else []

    return retry_on_lock_timeout(transaction, tries=_TRIES)
