"""Detections in partitions by month, exact counts by day, and views for more questions.

Revision 0002. An expansion: what revision 0001's code reads and writes goes on to work. Workers
write while it runs. Whatever takes long (indexes on the detections that exist, counting them) locks
nobody out; what needs a lock takes milliseconds once it has it, and gives up and tries again rather
than make others queue behind it. Each step is a transaction of its own and may be done again, so
after an interruption ``retinue migrate`` goes on where it stopped.
"""

from alembic import op
from retinue_history.schema.online_ddl import build, exists, patiently, sql, step
from sqlalchemy import text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

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
        if not exists("detector_configurations"):
            step("0002", "tables", "functions", "counting")
        if not exists("detections_other"):
            _prepare()
            try:
                step("0002", "partitions", "months", "comments", "views", "first_months")
            finally:
                # Left behind, it would refuse rows as soon as its month is over.
                patiently(
                    "ALTER TABLE IF EXISTS detections DROP CONSTRAINT IF EXISTS "
                    "ck_detections_before"
                )
        for index in _MORE_INDEXES:
            build(*index)
        if op.get_bind().scalar(text("SELECT EXISTS (SELECT FROM label_counts_backlog)")):
            step("0002", "backlog")


def downgrade() -> None:
    """Copy the detections back into one table; locks writers out for as long as that takes."""
    op.execute(sql("0002", "down"))
    op.execute(sql("0002", "comments"))
    op.execute(sql("0001", "views"))
    op.execute(sql("0002", "down_views"))


def _prepare() -> None:
    """Give the table what it needs to become a partition, while it is in use.

    The partition ends with a month that ends at least a week from now: time enough for the rest.
    """
    for index in _INDEXES:
        build(*index)
    ends = op.get_bind().scalar(
        text(
            "SELECT timezone('UTC', date_trunc('month', timezone('UTC', greatest("
            "now() + interval '7 days', max(detected_at)))) + interval '1 month')::text "
            "FROM detections"
        )
    )
    patiently(
        "ALTER TABLE detections DROP CONSTRAINT IF EXISTS ck_detections_before, "
        f"ADD CONSTRAINT ck_detections_before CHECK (detected_at < '{ends}') NOT VALID"
    )
    op.execute("ALTER TABLE detections VALIDATE CONSTRAINT ck_detections_before")
