"""Logins for workers and analysts who sign in by IAM, on RDS."""

from sqlalchemy import URL, Connection, Engine, text

from retinue_history.db.engine import connected
from retinue_history.db.error_mapping import map_errors

IAM_LOGINS = {"retinue_worker": "retinue_writer", "retinue_analyst": "retinue_reader"}
"""Logins, and the role that each is a member of."""

_ANALYST_SETTINGS = ("default_transaction_read_only = on", "statement_timeout = '30s'")
"""What retinue_reader has; a login does not inherit settings, only rights."""


def create_iam_logins(database: Engine | URL | str) -> list[str]:
    """Make the logins where the server has RDS's role ``rds_iam``; elsewhere do nothing.

    RDS lets members of that role in by a token of IAM, and not by a password. Safe to repeat.

    Args:
        database: Its engine or URL, migrated. The user needs CREATEROLE, and must have made
            ``retinue_writer`` and ``retinue_reader`` or have ADMIN on them.

    Returns:
        The logins that are there now; none where the server is not RDS.

    Raises:
        HistoryUnavailableError: The database cannot be reached, or the user lacks a right.
    """
    with map_errors(), connected(database) as connection, connection.begin():
        if not _exists(connection, "rds_iam"):
            return []
        # Roles belong to the cluster: another database of it may be making them right now.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('retinue logins'))"))
        for login, role in IAM_LOGINS.items():
            if not _exists(connection, login):
                connection.execute(text(f"CREATE ROLE {login} LOGIN"))
            connection.execute(text(f"GRANT {role}, rds_iam TO {login}"))
        for setting in _ANALYST_SETTINGS:
            connection.execute(text(f"ALTER ROLE retinue_analyst SET {setting}"))
    return list(IAM_LOGINS)


def _exists(connection: Connection, role: str) -> bool:
    asked = text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)")
    return bool(connection.scalar(asked, {"role": role}))
