"""Skips: runs that a route decided against, with a reason and the price that was not paid.

The checks of a large table are replaced without holding it for a scan: new ones are added NOT
VALID, which takes a moment, and validated after a commit, which lets readers and writers pass. So
this revision can end halfway, and may be run again from there.
"""

from alembic import op
from retinue_history.schema.online_ddl import sql, step

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Allow the outcome ``skipped``."""
    with op.get_context().autocommit_block():
        step("0005", "up")
        op.execute(sql("0005", "validate"))


def downgrade() -> None:
    """Forget skips."""
    op.execute(sql("0005", "down"))
