"""Views of runs and images tell the images' sizes.

Revision 0010. An expansion: columns at the end of two views.
"""

from alembic import op
from retinue_history.schema.online_ddl import sql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace two views."""
    op.execute(sql("0010", "up"))


def downgrade() -> None:
    """Bring back what revision 0002 said, which is also what says their comments and grants."""
    op.execute("DROP VIEW detector_agreement, image_labels, latest_runs")
    views = sql("0002", "views")
    for first, after in (
        ("CREATE VIEW latest_runs", "CREATE VIEW label_counts_daily"),
        ("CREATE VIEW detector_agreement", None),
    ):
        op.execute(views[views.index(first) : views.index(after) if after else None])
