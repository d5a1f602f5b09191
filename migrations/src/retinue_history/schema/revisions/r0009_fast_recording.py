"""Recording by functions whose plans are kept, and counting that reads each row once.

Revision 0009. An expansion: nothing that exists changes its meaning, and older workers go on to
send statements of their own.
"""

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create and replace functions; no row is read, and no table locked."""
    for part in ("recording", "search_path"):
        op.execute(_sql(f"r0009_{part}"))


def downgrade() -> None:
    """Bring back what revisions 0001 and 0002 said."""
    op.execute(_sql("r0009_down"))
    for file in ("r0001_functions", "r0002_counting"):
        first, _, _ = _sql(file).partition("COMMENT ON FUNCTION")
        op.execute(first.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    op.execute(_sql("r0009_search_path"))


def _sql(file: str) -> str:
    return (Path(__file__).parent / f"{file}.sql").read_text(encoding="utf-8")
