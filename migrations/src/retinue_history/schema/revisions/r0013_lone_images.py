"""An image alone in its commit costs less: fewer statements inside the functions, an index less.

Revision 0013. Older workers call the same functions. An image's detections are found through its
runs, as the views always did; an index of their own was written for each detection, and read by
nothing.
"""

from alembic import op
from retinue_history.schema.online_ddl import build_on_partitions, patiently, sql, step

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace functions, then drop the index, which takes a moment once it has its locks."""
    with op.get_context().autocommit_block():
        step("0013", "up")
        op.execute(sql("0009", "search_path"))
        patiently("DROP INDEX IF EXISTS ix_detections_image_id")


def downgrade() -> None:
    """Bring back the index, and what revisions 0001 to 0009 said."""
    with op.get_context().autocommit_block():
        build_on_partitions("ix_detections_image_id", "detections", "(image_id)")
    _, await_erasures = sql("0006", "up").split("CREATE FUNCTION await_erasures", 1)
    await_erasures, _ = await_erasures.split("COMMENT ON", 1)
    for functions in (
        sql("0001", "functions"),
        f"CREATE FUNCTION await_erasures{await_erasures}",
        sql("0009", "recording"),
    ):
        op.execute(functions.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    op.execute(sql("0009", "search_path"))
    op.execute("ALTER FUNCTION label_series(text, text, text, text, text) IMMUTABLE")
    op.execute("DROP FUNCTION those_inserted(bigint[])")
