"""People whose faces are in collections, and what it takes to forget them.

Revision 0004. Written as SQL, as 0001 is; the files beside this one are read top to bottom.
"""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and the triggers that keep a forgotten person out."""
    for part in ("tables", "functions"):
        _run(part)


def downgrade() -> None:
    """Drop them. What was forgotten stays so; that it was is no longer known."""
    _run("down")


def _run(part: str) -> None:
    op.execute((Path(__file__).parent / f"r0004_{part}.sql").read_text(encoding="utf-8"))
