"""Images that were forgotten on request, and what keeps them out; skips are no runs of a version.

Revision 0006.
"""

from alembic import op
from retinue_history.schema.online_ddl import exists, sql, step

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of what is forbidden, and the triggers that look into it."""
    with op.get_context().autocommit_block():
        if not exists("erased_images"):
            step("0006", "up")


def downgrade() -> None:
    """Drop them: what was forgotten stays so, but may come again."""
    op.execute(sql("0006", "down"))
