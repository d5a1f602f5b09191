"""A check of the login that saves reviews."""

from contextlib import closing

import psycopg

from retinue_history.db.connections import ANSWER_SECONDS, connect
from retinue_history.db.errors import HistoryUnavailableError, QueryError


def check_reviewer(url: str, password: str | None = None) -> None:
    """Check that a login is accepted, and can save reviews and do nothing else.

    Args:
        url: The database, with the login.
        password: The password; by default the URL's own.

    Raises:
        QueryError: It can't save reviews, or it can do more. The message names the right.
        HistoryUnavailableError: It isn't accepted, or the database can't be reached.
    """
    with closing(
        connect(url, "retinue console", answer_timeout_seconds=ANSWER_SECONDS, password=password)
    ) as connection:
        try:
            found = connection.execute(_WRONG).fetchone()
        except psycopg.Error as error:
            raise HistoryUnavailableError(str(error)) from error
    if found is not None:
        login, wrong = found
        raise QueryError(
            f"the login {login} {wrong}. Save reviews as retinue_reviewer, or as a login that "
            "is a member of only that role"
        )


_WRONG = """
WITH own AS (
    SELECT oid, rolname FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER')
)
SELECT session_user, wrong
FROM (
    SELECT 'is a superuser' AS wrong, 1 AS place
    FROM own JOIN pg_roles USING (oid) WHERE rolsuper
    UNION ALL
    SELECT 'may create roles or databases, replicate, or pass by row security', 2
    FROM own JOIN pg_roles USING (oid)
    WHERE rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
    UNION ALL
    SELECT 'may read or write ' || tables.oid::regclass || ' as ' || own.rolname, 3
    FROM own
    JOIN pg_class AS tables
        ON tables.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND tables.relnamespace NOT IN (
            'pg_catalog'::regnamespace, 'information_schema'::regnamespace
        )
        AND tables.relpersistence <> 't'
        AND has_table_privilege(own.oid, tables.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
    UNION ALL
    SELECT 'may not call the functions of reviews', 4
    FROM to_regrole('retinue_reviewer') AS reviewer
    WHERE reviewer IS NULL OR NOT pg_has_role(session_user, reviewer, 'MEMBER')
) AS problems
ORDER BY place
LIMIT 1
"""
# All roles that the login is a member of count, because SET ROLE is one function call away.
