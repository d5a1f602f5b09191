"""Create the logins of workers, analysts and the console that use IAM authentication on RDS."""

import re
from collections.abc import Sequence

from sqlalchemy import Connection, Engine, text

from retinue_history.db.engine import connected, map_engine_errors

IAM_LOGINS = {
    "retinue_worker": "retinue_writer",
    "retinue_analyst": "retinue_reader",
    "retinue_console": "retinue_reviewer",
}
"""Each login and its role."""

ANALYST_PREFIX = "analyst_"
"""The logins of single analysts begin with it."""

ANALYST_CONNECTIONS = 5
"""Default maximum number of concurrent connections of a single analyst."""

_SHARED_CONNECTIONS = 20
"""The same for retinue_analyst: the console, and tasks that ask."""

_ANALYST_SETTINGS = (
    "default_transaction_read_only = on",
    "statement_timeout = '30s'",
    "idle_in_transaction_session_timeout = '1min'",
)
"""The settings of retinue_reader. A login inherits only rights, not settings."""


def create_iam_logins(
    database: Engine | str,
    analysts: Sequence[str] = (),
    *,
    analyst_connections: int = ANALYST_CONNECTIONS,
) -> list[str]:
    """Create the logins if the server has RDS's role ``rds_iam``. Idempotent.

    Members of that role authenticate with an IAM token instead of a password. Logins of analysts
    that are no longer named can no longer connect, and their sessions end.

    Args:
        database: Its engine or URL, migrated. The user needs CREATEROLE, and must have created
            ``retinue_writer``, ``retinue_reader`` and ``retinue_reviewer`` or have ADMIN on them.
        analysts: Names of people with a login of their own, ``analyst_NAME``: lower-case letters,
            digits and underscores.
        analyst_connections: Maximum number of concurrent connections of each of them.

    Returns:
        The logins that exist now; none if the server isn't RDS.

    Raises:
        HistoryUnavailableError: The database can't be reached, or the user lacks a right.
        ValueError: A name is invalid.
    """
    for name in analysts:
        if not re.fullmatch("[a-z][a-z0-9_]{0,39}", name):
            raise ValueError(
                f"analyst {name!r}: a name has up to 40 lower-case letters, digits and _"
            )
    readers = {f"{ANALYST_PREFIX}{name}": analyst_connections for name in analysts}
    readers["retinue_analyst"] = _SHARED_CONNECTIONS
    logins = IAM_LOGINS | dict.fromkeys(readers, "retinue_reader")
    with map_engine_errors(), connected(database) as connection, connection.begin():
        if not _exists(connection, "rds_iam"):
            return []
        # Roles belong to the cluster: another database may be creating them now.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('retinue logins'))"))
        for login, role in logins.items():
            if not _exists(connection, login):
                connection.execute(text(f"CREATE ROLE {login} LOGIN"))
            connection.execute(text(f"GRANT {role}, rds_iam TO {login}"))
        for login, connections in readers.items():
            connection.execute(text(f"ALTER ROLE {login} LOGIN CONNECTION LIMIT {connections}"))
            for setting in _ANALYST_SETTINGS:
                connection.execute(text(f"ALTER ROLE {login} SET {setting}"))
        former = connection.scalars(
            _FORMER_ANALYSTS,
            {"pattern": f"^{ANALYST_PREFIX}[a-z][a-z0-9_]*$", "logins": list(logins)},
        ).all()
        for login in former:
            connection.execute(text(f'ALTER ROLE "{login}" NOLOGIN'))
    if former:
        _end_sessions(database, former)  # now that they can't connect again
    return list(logins)


_FORMER_ANALYSTS = text(
    "SELECT rolname FROM pg_roles WHERE rolname ~ :pattern AND rolcanlogin "
    "AND rolname <> ALL (:logins)"
)
_END_SESSIONS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :login"
)


def _end_sessions(database: Engine | str, logins: Sequence[str]) -> None:
    with map_engine_errors(), connected(database) as connection, connection.begin():
        for login in logins:
            # Only a member of a role may end its sessions, and who created it may become one.
            connection.execute(text(f'GRANT "{login}" TO CURRENT_USER'))
            connection.execute(_END_SESSIONS, {"login": login})
            connection.execute(text(f'REVOKE "{login}" FROM CURRENT_USER'))


def _exists(connection: Connection, role: str) -> bool:
    asked = text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)")
    return bool(connection.scalar(asked, {"role": role}))
