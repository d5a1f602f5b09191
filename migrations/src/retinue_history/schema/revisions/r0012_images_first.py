"""The latest detections of a page of images begin with the images.

Revision 0012. Nothing changes but the plan.
"""

from alembic import op
from retinue_history.schema.online_ddl import sql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace two views."""
    op.execute(sql("0012", "up"))


def downgrade() -> None:
    """Ask the runs first again."""
    op.execute(sql("0012", "up").replace("    images.image_id,\n", "    runs.image_id,\n"))
