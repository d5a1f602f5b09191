"""What anybody may do in a database is taken from analysts, where whoever migrates may do that.

Revision 0011. Nothing changes for workers and owners.
"""

from alembic import op
from retinue_history.schema.online_ddl import sql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Revoke and grant; no table is touched."""
    op.execute(sql("0011", "up"))


def downgrade() -> None:
    """Give it back to everybody."""
    op.execute(sql("0011", "down"))
