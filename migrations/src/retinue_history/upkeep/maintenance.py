"""What a history needs now and then: months made ahead, and what is past its time dropped.

Every step works in short transactions and may be interrupted and done again. None makes others
wait: a lock that cannot be had within a second is given up and tried for again.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from retinue_history.db.error_mapping import translated
from retinue_history.db.errors import HistoryUnavailableError
from retinue_history.privacy.label_pruning import prune_labels
from retinue_history.schema.version import check_schema
from retinue_history.upkeep import retention

MONTHS_AHEAD = 3
"""How many months get their partition before they begin. Daily maintenance may fail for so long."""

_LOCK = 0x5245_5449_4E55_4503  # "RETINU", 3: held while maintaining; 2 is that of erasures
_LOCK_NOT_AVAILABLE = "55P03"
_TRIES = 60


@dataclass(frozen=True, slots=True)
class Retention:
    """How long things are kept.

    Attributes:
        detections_months: Whole months of detections kept beside the current one; ``None`` for
            ever. Runs, and the daily counts of labels, stay.
        raw_responses_days: Days that the detectors' raw responses are kept; ``None`` for ever.
        deleted_images_days: Days after its removal from S3 that an image is kept with its runs and
            detections; ``None`` for ever.
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
    """Bring the history up to date with its policy. Doing it again changes nothing.

    Args:
        engine: The database, as the tables' owner.
        keep: The policy.
        dry_run: Only tell what would be done.
        tell: Called with a line for each thing that was done, or would be.

    Raises:
        HistorySchemaError: The database is not migrated.
        HistoryUnavailableError: It cannot be reached, the login is not the owner, somebody else is
            maintaining it, or a table was in use for too long.
    """
    check_schema(engine)
    now = datetime.now(UTC)
    with translated(), _alone(engine) as connection:
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
            # Autovacuum looks at partitions alone; the planner wants to know the whole as well.
            connection.execute(text("ANALYZE detections"))


def months_before(moment: datetime, months: int) -> datetime:
    """The beginning of the month, in UTC, that is so many months before a moment's own."""
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
        for name in _patiently(connection, query, {"ahead": MONTHS_AHEAD}):
            tell(f"{'would add' if dry_run else 'added'} {name}")


def _drop_months(
    connection: Connection, before: datetime, dry_run: bool, tell: Callable[[str], None]
) -> None:
    """Drop the months that are over, and delete what older partitions share with kept months."""
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
            # In the order in which writers take the locks.
            _patiently(connection, f"LOCK TABLE runs IN ACCESS EXCLUSIVE MODE; DROP TABLE {name}")
        tell(f"{'would drop' if dry_run else 'dropped'} {name}")


def _in_batches(
    connection: Connection,
    step: retention.Step,
    given: dict[str, Any],
    dry_run: bool,
    tell: Callable[[str], None],
) -> None:
    """Do a step until there is nothing left to do."""
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


def _patiently(connection: Connection, sql: str, given: dict[str, Any] | None = None) -> list[Any]:
    """Run a transaction, again while a lock cannot be had within a second."""
    for attempt in range(_TRIES):
        try:
            with connection.begin():
                connection.execute(text("SET LOCAL lock_timeout = '1s'"))
                result = connection.execute(text(sql), given or {})
                return list(result.scalars()) if result.returns_rows else []
        except OperationalError as error:
            waited_too_long = getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE
            if not waited_too_long or attempt == _TRIES - 1:
                raise
            time.sleep(0.5)
    return []


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A connection that holds the maintenance lock until it is closed."""
    with engine.connect() as connection:
        with connection.begin():
            connection.execute(text("SET statement_timeout = 0"))
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK}):
                raise HistoryUnavailableError("somebody else is maintaining this database")
        try:
            yield connection
            with connection.begin():  # the server may take its time to see that the session is over
                connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
        finally:
            connection.invalidate()  # which releases it even where the connection is beyond use
