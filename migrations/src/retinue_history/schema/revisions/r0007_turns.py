"""Workers that share a quota take turns: a lease says when one of its requests is due.

Revision 0007.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Workers of the release before know no turns."""
    op.execute(
        "ALTER TABLE quota_leases "
        "ADD COLUMN slot_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL"
    )
    op.execute(
        "COMMENT ON COLUMN quota_leases.slot_at IS "
        "'When one of its requests is due; the others are evenly spaced before and after it'"
    )


def downgrade() -> None:
    """Drop the column."""
    op.execute("ALTER TABLE quota_leases DROP COLUMN slot_at")
