"""Workers that share a quota take turns: a lease says when one of its requests is due.

Revision 0006.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Leases end within seconds, so those of now may begin anew."""
    op.execute("DELETE FROM quota_leases")
    op.execute("ALTER TABLE quota_leases ADD COLUMN slot_at TIMESTAMP WITH TIME ZONE NOT NULL")
    op.execute(
        "COMMENT ON COLUMN quota_leases.slot_at IS "
        "'When one of its requests is due; the others are evenly spaced before and after it'"
    )


def downgrade() -> None:
    """Drop the column."""
    op.execute("ALTER TABLE quota_leases DROP COLUMN slot_at")
