"""Migrate a database to the schema that this code needs.

Alembic is imported only to migrate; a worker only reads the revision (``version.py``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, text

from retinue_history.db.advisory_lock import advisory_lock
from retinue_history.db.engine import (
    driver_connection,
    map_engine_errors,
    opened,
    without_statement_limit,
)
from retinue_history.db.errors import HistorySchemaError
from retinue_history.schema.version import (
    REVISIONS,
    current_revision,
    head_revision,
    known_revisions,
)

if TYPE_CHECKING:
    from alembic.config import Config

_LOCK = 0x5245_5449_4E55_4501  # "RETINUE", 1: held while migrating
_LOCK_TIMEOUT_SECONDS = 300.0


def upgrade(
    database: Engine | str,
    revision: str = "head",
    *,
    lock_timeout_seconds: float = _LOCK_TIMEOUT_SECONDS,
) -> None:
    """Migrate up, revision by revision, unless the database has the target revision.

    Workers can keep writing. The next call resumes an interrupted revision. Several processes may
    call this at the same time: the first migrates while the others wait.

    Args:
        database: Its engine or URL. The user needs CREATE on the schema, and CREATEROLE unless the
            roles ``retinue_writer``, ``retinue_reader`` and ``retinue_reviewer`` exist.
        revision: The target; the newest by default.
        lock_timeout_seconds: How long to wait for another process that is migrating.

    Raises:
        HistorySchemaError: This code does not know the revision of the database.
        HistorySetupError: The database is in another encoding than UTF8, or its pooler refuses
            transactions.
        HistoryUnavailableError: The database cannot be reached, the user lacks a right (the message
            names it), or another process has been migrating for longer than
            ``lock_timeout_seconds``.
    """
    from alembic import command

    with _alone(database, lock_timeout_seconds) as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def revoke_public_rights(database: Engine | str) -> None:
    """Revoke rights that every login has on a new server or database, as far as the user may.

    A migration does it. Repeat it after a dump was restored, which doesn't have all of it.

    Args:
        database: Its engine or URL.

    Raises:
        HistoryUnavailableError: The database cannot be reached, or another process has been
            migrating it for minutes.
    """
    statement = (Path(__file__).parent / "sql/public_rights.sql").read_text(encoding="utf-8")
    with _alone(database, _LOCK_TIMEOUT_SECONDS) as connection, connection.begin():
        connection.execute(text(statement))


def alembic_config() -> "Config":
    """Return Alembic's configuration: revisions and environment come from this package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("path_separator", "newline")
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("version_locations", "\n".join(map(str, REVISIONS)).replace("%", "%%"))
    return config


@contextmanager
def _alone(database: Engine | str, lock_timeout_seconds: float) -> Iterator[Connection]:
    """Hold the migration lock for a ``with`` block. Yield a connection.

    Each revision opens its own transactions, so that a long one can release its locks.
    """
    refusal = f"another process has been migrating this database for {lock_timeout_seconds:g} s"
    with (
        map_engine_errors(),
        opened(database) as engine,
        advisory_lock(engine, _LOCK, refusal=refusal, timeout_seconds=lock_timeout_seconds),
        # A migration can take longer than a statement of a worker should.
        without_statement_limit(engine).connect() as connection,
    ):
        with connection.begin():
            _refuse_unknown_revision(connection)
        yield connection


def _refuse_unknown_revision(connection: Connection) -> None:
    current = current_revision(driver_connection(connection))
    if current is not None and current not in known_revisions():
        raise HistorySchemaError(_newer(current))


def _newer(current: str) -> str:
    return (
        f"the database is at revision {current}, which this version of Retinue does not know: "
        f"update Retinue (it knows up to {head_revision()})"
    )
