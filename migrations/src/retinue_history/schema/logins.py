"""Create the logins of workers, analysts and the console that use IAM authentication on RDS."""

from sqlalchemy import Connection, Engine, text

from retinue_history.db.engine import connected, map_engine_errors

IAM_LOGINS = {
    "retinue_worker": "retinue_writer",
    "retinue_analyst": "retinue_reader",
    "retinue_console": "retinue_reviewer",
}
"""Each login and its role."""

_ANALYST_SETTINGS = ("default_transaction_read_only = on", "statement_timeout = '30s'")
"""The settings of retinue_reader. A login inherits only rights, not settings."""


def create_iam_logins(database: Engine | str) -> list[str]:
    """Create the logins if the server has RDS's role ``rds_iam``. Idempotent.

    Members of that role authenticate with an IAM token instead of a password.

    Args:
        database: Its engine or URL, migrated. The user needs CREATEROLE, and must have created
            ``retinue_writer``, ``retinue_reader`` and ``retinue_reviewer`` or have ADMIN on them.

    Returns:
        The logins that exist now; none if the server isn't RDS.

    Raises:
        HistoryUnavailableError: The database can't be reached, or the user lacks a right.
    """
    with map_engine_errors(), connected(database) as connection, connection.begin():
        if not _exists(connection, "rds_iam"):
            return []
        # Roles belong to the cluster: another database may be creating them now.
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
