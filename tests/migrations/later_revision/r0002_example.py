"""Add a column to detections and to runs, with an index each, while workers write.

Revision 0002 of the tests alone: an example of what a later revision looks like.
"""

from alembic import op
from retinue_history.schema.online_ddl import (
    create_index,
    create_index_on_partitions,
    with_lock_retry,
)

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run short steps. Each may be repeated after an interruption."""
    with op.get_context().autocommit_block():
        with_lock_retry("ALTER TABLE runs ADD COLUMN IF NOT EXISTS trace_id text")
        with_lock_retry("ALTER TABLE detections ADD COLUMN IF NOT EXISTS reviewed boolean")
        create_index("ix_runs_trace_id", "runs (trace_id)")
        create_index_on_partitions("ix_detections_reviewed", "detections", "(reviewed)")
