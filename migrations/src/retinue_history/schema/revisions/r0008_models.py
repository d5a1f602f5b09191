"""Models that are started and stopped: who keeps them, and what each time they were hosted cost.

Revision 0008.
"""

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and the view."""
    _run("up")


def downgrade() -> None:
    """Drop them. Stop the workers first: a model that runs is not known any more."""
    _run("down")


def _run(part: str) -> None:
    op.execute((Path(__file__).parent / f"r0008_{part}.sql").read_text(encoding="utf-8"))
