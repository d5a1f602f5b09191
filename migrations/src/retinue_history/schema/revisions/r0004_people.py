"""People whose faces are in collections, and what it takes to forget them.

Revision 0004. Written as SQL, as 0001 is; the files beside this one are read top to bottom. Workers
write while it runs, and after an interruption it goes on where it stopped.
"""

from alembic import op
from retinue_history.schema.online_ddl import build, build_on_partitions, exists, sql, step

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_OF_RUNS = """runs USING gin (faces_named(raw_response))
    WHERE raw_response ?| ARRAY[
        'SearchFacesByImage', 'SearchFaces', 'IndexFaces', 'SearchUsersByImage', 'SearchUsers'
    ]"""

_OF_DETECTIONS = """USING gin (faces_named(attributes))
    WHERE attributes ?| ARRAY['Face', 'FaceId', 'UserId']"""


def upgrade() -> None:
    """Create the tables, the triggers that keep a forgotten person out, and their indexes."""
    with op.get_context().autocommit_block():
        if not exists("people"):
            step("0004", "tables", "functions")
        build("ix_runs_faces_named", "INDEX", _OF_RUNS)
        build_on_partitions("ix_detections_faces_named", "detections", _OF_DETECTIONS)


def downgrade() -> None:
    """Drop them. What was forgotten stays so; that it was is no longer known."""
    op.execute(sql("0004", "down"))
