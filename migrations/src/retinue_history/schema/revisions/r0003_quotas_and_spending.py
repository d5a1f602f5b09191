"""Quotas that workers share, and what each month has cost.

Revision 0003.
"""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and count what the current month has cost until now."""
    _run("up")


def downgrade() -> None:
    """Drop them. Pacing and budgets begin anew after the next upgrade."""
    _run("down")


def _run(part: str) -> None:
    op.execute((Path(__file__).parent / f"r0003_{part}.sql").read_text(encoding="utf-8"))
