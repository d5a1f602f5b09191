"""The detection history: tables, functions, views and roles.

Revision 0001, the first. It is written as SQL, because most of it (comments on views, functions,
roles) has no form in Alembic; the files beside this one are read top to bottom.
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything; touches nothing that exists."""
    for part in ("functions", "tables", "views", "roles"):
        _run(part)


def downgrade() -> None:
    """Drop everything, and the roles if nobody else in the cluster needs them."""
    _run("down")


def _run(part: str) -> None:
    op.execute((Path(__file__).parent / f"r0001_{part}.sql").read_text(encoding="utf-8"))
