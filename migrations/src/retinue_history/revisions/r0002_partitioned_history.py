"""Detections in partitions by month, exact counts by day, and views for more questions.

Revision 0002. An expansion: what revision 0001's code reads and writes goes on to work. Workers
write while it runs. Whatever takes long (indexes on the detections that exist, counting them) locks
nobody out; what needs a lock takes milliseconds once it has it, and gives up and tries again rather
than make others queue behind it. Each step is a transaction of its own and may be done again, so
after an interruption ``retinue migrate`` goes on where it stopped.
"""

import time
from pathlib import Path

from alembic import op
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "1s"
"""Longest that others may have to queue behind a step that waits for a lock."""

_TRIES = 300
_LOCK_NOT_AVAILABLE = "55P03"

# Those of the partitioned table, for the rows that exist. The primary key must name the partition.
_INDEXES = (
    ("pk_detections_before", "UNIQUE INDEX", "detections (detection_id, detected_at)"),
    ("uq_detections_before", "UNIQUE INDEX", "detections (run_id, ordinal, detected_at)"),
    (
        "ix_detections_before_text",
        "INDEX",
        "detections USING gin (label gin_trgm_ops) WHERE kind = 'text'",
    ),
)
_MORE_INDEXES = (
    ("ix_images_uploaded_at", "INDEX", "images (uploaded_at)"),
    ("ix_images_deleted_at", "INDEX", "images (deleted_at) WHERE deleted_at IS NOT NULL"),
    ("ix_runs_raw_response", "INDEX", "runs (started_at) WHERE raw_response IS NOT NULL"),
)


def upgrade() -> None:
    """Migrate in steps, each of which is skipped where it was done before."""
    with op.get_context().autocommit_block():
        if not _exists("detector_configurations"):
            _step("tables", "functions", "counting")
        if not _exists("detections_other"):
            _prepare()
            try:
                _step("partitions", "months", "comments", "views", "first_months")
            finally:
                # Left behind, it would refuse rows as soon as its month is over.
                _patiently(
                    "ALTER TABLE IF EXISTS detections DROP CONSTRAINT IF EXISTS "
                    "ck_detections_before"
                )
        for index in _MORE_INDEXES:
            _build(*index)
        if op.get_bind().scalar(text("SELECT EXISTS (SELECT FROM label_counts_backlog)")):
            _step("backlog")


def downgrade() -> None:
    """Copy the detections back into one table; locks writers out for as long as that takes."""
    op.execute(_sql("down"))
    op.execute(_sql("comments"))
    op.execute((Path(__file__).parent / "r0001_views.sql").read_text(encoding="utf-8"))
    op.execute(_sql("down_views"))


def _prepare() -> None:
    """Give the table what it needs to become a partition, while it is in use.

    The partition ends with a month that ends at least a week from now: time enough for the rest.
    """
    for index in _INDEXES:
        _build(*index)
    ends = op.get_bind().scalar(
        text(
            "SELECT timezone('UTC', date_trunc('month', timezone('UTC', greatest("
            "now() + interval '7 days', max(detected_at)))) + interval '1 month')::text "
            "FROM detections"
        )
    )
    _patiently(
        "ALTER TABLE detections DROP CONSTRAINT IF EXISTS ck_detections_before, "
        f"ADD CONSTRAINT ck_detections_before CHECK (detected_at < '{ends}') NOT VALID"
    )
    op.execute("ALTER TABLE detections VALIDATE CONSTRAINT ck_detections_before")


def _build(name: str, what: str, on: str) -> None:
    """Create an index while writers go on; one that an interruption left half built is dropped."""
    invalid = text(
        "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(:name) "
        "AND NOT indisvalid)"
    )
    if op.get_bind().scalar(invalid, {"name": name}):
        op.execute(f"DROP INDEX CONCURRENTLY {name}")
    create, _, index = what.rpartition(" ")
    op.execute(f"CREATE {create} {index} CONCURRENTLY IF NOT EXISTS {name} ON {on}")


def _step(*parts: str) -> None:
    """Run files as one transaction: Postgres takes several statements sent at once for one."""
    _patiently("\n".join(map(_sql, parts)))


def _patiently(sql: str) -> None:
    """Run statements as one transaction, again and again while a lock cannot be had in time."""
    for attempt in range(_TRIES):
        try:
            op.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}';\n{sql}")
        except OperationalError as error:
            waited_too_long = getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE
            if not waited_too_long or attempt == _TRIES - 1:
                raise
            time.sleep(0.5)
        else:
            return


def _exists(relation: str) -> bool:
    return bool(op.get_bind().scalar(text(f"SELECT to_regclass('{relation}') IS NOT NULL")))


def _sql(part: str) -> str:
    return (Path(__file__).parent / f"r0002_{part}.sql").read_text(encoding="utf-8")
