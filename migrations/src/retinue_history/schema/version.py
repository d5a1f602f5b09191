"""Compare the revision of a database with the one that this code needs."""

import logging
from functools import cache
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, text

from retinue_history.db.engine import connected
from retinue_history.db.error_mapping import map_errors
from retinue_history.db.errors import HistorySchemaError, HistorySetupError

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


def refuse_other_encodings(connection: Connection) -> None:
    """Refuse a database that can't hold every text.

    Raises:
        HistorySetupError: Its encoding isn't UTF8; the message says what to do.
    """
    encoding = connection.scalar(text("SELECT current_setting('server_encoding')"))
    if encoding != "UTF8":
        raise HistorySetupError(
            f"the database is in the encoding {encoding}, but the history needs UTF8, as S3's keys "
            "do. Create another with CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8' LOCALE "
            "'C', and set RETINUE_DATABASE_URL to it"
        )


def current_revision(database: Engine | URL | str) -> str | None:
    """Return the revision of a database; ``None`` if it was never migrated.

    Raises:
        HistorySetupError: The database is in another encoding than UTF8.
        HistoryUnavailableError: The database cannot be reached.
    """
    with map_errors(), connected(database) as connection:
        refuse_other_encodings(connection)
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
        HistorySetupError: It is in another encoding than UTF8, or its pooler refuses transactions.
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
