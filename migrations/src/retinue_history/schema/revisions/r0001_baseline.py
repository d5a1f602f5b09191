"""The whole schema: the declared tables, and everything else from the SQL files.

Revision 0001. Nothing has been released, so the schema changes here, in place. The first revision
after a release comes second: before it, freeze the tables as SQL (``CreateTable`` prints them),
since the declarations then follow the newest revision.
"""

from pathlib import Path

from alembic import op
from retinue_history.schema.tables import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql"


def upgrade() -> None:
    """Create everything, in one transaction."""
    _run("identity", "constraints", "faces")  # functions that tables call
    for table in metadata.tables.values():
        table.create(op.get_bind())
    _run(
        "locks",
        "partitions",
        "archiving",
        "labels",
        "run_counts",
        "recording",
        "jobs",
        "views",
        "erasure",
        "review",
        "access",
        "public_rights",
    )


def _run(*subjects: str) -> None:
    for subject in subjects:
        op.execute((_SQL / f"{subject}.sql").read_text(encoding="utf-8"))
