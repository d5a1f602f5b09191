"""Compare the revision of a database with the one that this code needs."""

import logging
from contextlib import closing
from functools import cache
from pathlib import Path

from retinue_history.db.connections import Connection, connect
from retinue_history.db.error_mapping import map_errors
from retinue_history.db.errors import HistorySchemaError, HistorySetupError

log = logging.getLogger(__name__)

REVISIONS = [Path(__file__).parent / "revisions"]
"""The folders of the revisions."""


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


def current_revision(database: Connection | str) -> str | None:
    """Return the revision of a database; ``None`` if it was never migrated.

    Args:
        database: A connection, or a URL to connect to.

    Raises:
        HistorySetupError: The database is in another encoding than UTF8, or its pooler refuses
            transactions.
        HistoryUnavailableError: The database cannot be reached.
    """
    if isinstance(database, str):
        with closing(connect(database, "retinue migrate", autocommit=True)) as connection:
            return current_revision(connection)
    with map_errors(), database.transaction():
        _refuse_other_encodings(database)
        if database.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        found = database.execute("SELECT version_num FROM alembic_version").fetchone()
        return None if found is None else str(found[0])


def _refuse_other_encodings(connection: Connection) -> None:
    """Raise for a database that can't store every text. The message has the remedy."""
    [(encoding,)] = connection.execute("SELECT current_setting('server_encoding')").fetchall()
    if encoding != "UTF8":
        raise HistorySetupError(
            f"the database has the encoding {encoding}, but the history needs UTF8. Create "
            "another with CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C', and "
            "set RETINUE_DATABASE_URL to it"
        )


def check_schema(database: Connection | str) -> None:
    """Raise for a database whose schema is older than this code needs.

    A newer schema is accepted and logged: schemas are expanded before workers are replaced, so the
    previous release works on the new one (docs/keeping.md).

    Args:
        database: A connection, or a URL to connect to.

    Raises:
        HistorySchemaError: It is older or has no history. The message has the remedy.
        HistorySetupError: It is in another encoding than UTF8, or its pooler refuses transactions.
        HistoryUnavailableError: It can't be reached.
    """
    current, head = current_revision(database), head_revision()
    if current == head:
        return
    if current is None:
        raise HistorySchemaError("the database has no Retinue history: run `retinue migrate`")
    if current in known_revisions():
        raise HistorySchemaError(
            f"the database is at revision {current}, this code needs {head}: run `retinue migrate`"
        )
    log.warning(
        "the database is at revision %s, which is newer than this Retinue (%s): continuing",
        current,
        head,
    )
