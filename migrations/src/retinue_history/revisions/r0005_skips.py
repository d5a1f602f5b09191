"""Skips: runs that a route decided against, with a reason and the price that was not paid.

The checks of a large table are replaced without holding it for a scan: new ones are added NOT
VALID, which takes a moment, and validated after a commit, which lets readers and writers pass. So
this revision can end halfway, and may be run again from there.
"""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Allow the outcome ``skipped``."""
    _run("up")
    op.execute("COMMIT")  # lets go of the table; psycopg begins anew by itself
    op.execute("SET LOCAL statement_timeout = 0")
    _run("validate")


def downgrade() -> None:
    """Forget skips."""
    _run("down")


def _run(part: str) -> None:
    op.execute((Path(__file__).parent / f"r0005_{part}.sql").read_text(encoding="utf-8"))
