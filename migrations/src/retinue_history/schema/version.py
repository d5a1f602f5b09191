"""Which schema a database has, and which one this code was written for."""

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
    """The revision this code was written for."""
    known = known_revisions()
    if not known:
        raise HistorySchemaError("this installation of retinue-history has no revisions in it")
    return known[-1]


@cache
def known_revisions() -> tuple[str, ...]:
    """All revisions, the oldest first.

    Each follows the one numbered before it, and its file begins with its number: Alembic, which
    would read them all, need not be imported to know them.
    """
    pattern = "r[0-9][0-9][0-9][0-9]_*.py"
    return tuple(sorted(path.name[1:5] for folder in REVISIONS for path in folder.glob(pattern)))


def current_revision(database: Engine | URL | str) -> str | None:
    """The revision the database is at; ``None`` if it was never migrated.

    Raises:
        HistoryUnavailableError: The database cannot be reached.
    """
    with map_errors(), connected(database) as connection:
        return revision_of(connection)


def revision_of(connection: Connection) -> str | None:
    """The revision that Alembic wrote down; ``None`` if it never did."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def check_schema(database: Engine | URL | str) -> None:
    """Refuse a database whose schema is older than the one this code was written for.

    A newer one is taken, and logged: schemas are expanded first, so the release before goes on to
    read and write rightly on the new one (docs/keeping.md).

    Raises:
        HistorySchemaError: It is older, or holds no history; the message says what to do.
        HistoryUnavailableError: It cannot be reached.
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
