"""Compare the revision of a database with the one that this code needs."""

import logging
from functools import cache
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, text

from retinue_history.db.engine import connected
from retinue_history.db.error_mapping import map_errors
from retinue_history.db.errors import HistorySchemaError

log = logging.getLogger(__name__)

REVISIONS = [Path(__file__).parent / "revisions"]
"""The folders that hold revisions."""


def head_revision() -> str:
    """Return the revision that this code needs."""
    known = known_revisions()
    if not known:
        raise HistorySchemaError("this installation of retinue-history has no revisions in it")
    return known[-1]


@cache
def known_revisions() -> tuple[str, ...]:
    """Return all revisions, the oldest first.

    They are read from file names, so that a worker need not import Alembic.
    """
    pattern = "r[0-9][0-9][0-9][0-9]_*.py"
    return tuple(sorted(path.name[1:5] for folder in REVISIONS for path in folder.glob(pattern)))


def current_revision(database: Engine | URL | str) -> str | None:
    """Return the revision of a database; ``None`` if it was never migrated.

    Raises:
        HistoryUnavailableError: The database cannot be reached.
    """
    with map_errors(), connected(database) as connection:
        return revision_of(connection)


def revision_of(connection: Connection) -> str | None:
    """Return the revision that Alembic recorded; ``None`` if it never did."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def check_schema(database: Engine | URL | str) -> None:
    """Refuse a database whose schema is older than this code needs.

    A newer schema is accepted and logged: schemas are expanded before workers are replaced, so the
    previous release works on the new one (docs/keeping.md).

    Raises:
        HistorySchemaError: It is older or holds no history; the message says what to do.
        HistoryUnavailableError: It can't be reached.
    """
    current, head = current_revision(database), head_revision()
    if current == head:
        return
    if current is None:
        raise HistorySchemaError("the database holds no Retinue history: run `retinue migrate`")
    if current in known_revisions():
        raise HistorySchemaError(
            f"the database is at revision {current}, this code needs {head}: run `retinue migrate`"
        )
    log.warning(
        "the database is at revision %s, which is newer than this Retinue (%s): going on",
        current,
        head,
    )
