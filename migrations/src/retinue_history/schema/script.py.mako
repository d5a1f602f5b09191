"""${message}.

Revision ${up_revision}, after ${down_revision | comma,n}; created ${create_date}.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """TODO: say what changes and whether it rewrites or locks a table."""
    ${upgrades if upgrades else "pass"}

