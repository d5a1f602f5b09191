"""Run an analyst's query: one statement, read-only, with a bounded result."""

import re
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from psycopg import generators
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult
from psycopg.types.string import TextLoader

from retinue_history.analysis.query_errors import ONLY_READ, explain, first_word
from retinue_history.db.connections import ANSWER_SECONDS, connect
from retinue_history.db.errors import HistoryUnavailableError, QueryError

DEFAULT_ROW_LIMIT = 1000
DEFAULT_TIMEOUT_SECONDS = 30.0


_HARMFUL = re.compile(
    r"""
    \bpg_(?:try_)?advisory_\w+  # with them a session can take every lock that the server has
    | \bpg_(?:logical_emit_message|notify|export_snapshot)\b  # log, memory and files
    | \bset_config\b  # lifts the limits of the session
    | \bpg_(?:cancel|terminate)_backend\b  # of the same login
    | \b(?:query|table|cursor|schema|database)_to_xml\w*  # these run text as a query
    | \bts_(?:stat|rewrite)\b
    | \blo_\w+ | \blowrite\b  # large objects
    | \bU&"  # an identifier with escapes could be any of these
    """,
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
"""Functions that every login may call. An identifier is always in a statement as it is, so text is
enough. A plan isn't: EXPLAIN shows neither the expressions of VALUES nor those of LIMIT.
"""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The result of a query.

    Attributes:
        columns: The columns' names, in order; not necessarily distinct.
        rows: The rows, as Python values. Intervals are text: Python has no months.
        truncated: Whether there were more rows than the limit.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    truncated: bool


def run_query(
    url: str,
    sql: str,
    *,
    row_limit: int = DEFAULT_ROW_LIMIT,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    password: str | None = None,
) -> QueryResult:
    """Run one statement in a READ ONLY transaction that is rolled back.

    The login must be read-only, such as ``retinue_reader``. Other logins are refused before the
    statement is sent. A read-only transaction isn't enough: a superuser can read files and run
    programs in it, and an owner's statement can undo ``SET ROLE`` and ``SET SESSION
    AUTHORIZATION``.

    Only statements that return rows are run. ``DO`` returns none, and could catch the error of the
    statement timeout. Statements that mention a function that can harm other sessions are refused:
    on RDS, no one can revoke the right to call it.

    Args:
        url: The database; ``postgresql://…``.
        sql: One statement: SELECT, EXPLAIN, SHOW, … The server refuses several.
        row_limit: Maximum number of rows, at least 1. No more are held in memory.
        timeout_seconds: Time limit.
        password: The password; by default the URL's own.

    Raises:
        QueryError: The database refused it. The message has the reason, the position and a hint.
        HistoryUnavailableError: The database can't be reached.
        ValueError: The URL or the limit is invalid.
    """
    if row_limit < 1:
        raise ValueError(f"row_limit must be 1 or more, not {row_limit}")
    answer_seconds = timeout_seconds + ANSWER_SECONDS
    with closing(
        connect(url, "retinue query", answer_timeout_seconds=answer_seconds, password=password)
    ) as connection:
        connection.read_only = True
        connection.adapters.register_loader("interval", TextLoader)
        try:
            # Postgres allows a change to read-write only before the first query, which is this.
            connection.execute(
                "SELECT set_config('statement_timeout', %s, true)",
                [str(round(timeout_seconds * 1000))],
            )
            _refuse_powers(connection)
            _refuse_harm(sql)
            return _ask(connection, sql, row_limit)
        except UnicodeEncodeError as error:
            raise QueryError("the query contains a lone surrogate, not valid Unicode") from error
        except psycopg.Error as error:
            if connection.closed:
                raise HistoryUnavailableError(str(error)) from error
            explained = explain(error, sql, timeout_seconds, _relations(connection))
            raise QueryError(explained) from error


def check_reader(url: str, password: str | None = None) -> None:
    """Check that a login is accepted, and read-only.

    Args:
        url: The database, with the login.
        password: The password; by default the URL's own.

    Raises:
        QueryError: It isn't read-only. The message names the right.
        HistoryUnavailableError: It isn't accepted, or the database can't be reached.
    """
    with closing(
        connect(url, "retinue query", answer_timeout_seconds=ANSWER_SECONDS, password=password)
    ) as connection:
        try:
            _refuse_powers(connection)
        except psycopg.Error as error:
            raise HistoryUnavailableError(str(error)) from error


def _refuse_powers(connection: psycopg.Connection[Any]) -> None:
    found = connection.execute(_POWERS).fetchone()
    if found is not None:
        login, power = found
        raise QueryError(
            f"the login {login} isn't read-only ({power}). Set RETINUE_QUERY_DATABASE_URL to "
            "retinue_reader, or to a login that is a member of only that role"
        )


def _refuse_harm(sql: str) -> None:
    if harmful := _HARMFUL.search(sql):
        raise QueryError(
            f"a query may not mention {harmful[0]}, not even in a text: it can take locks, log, "
            "memory or settings that others need"
        )


def _ask(connection: psycopg.Connection[Any], sql: str, row_limit: int) -> QueryResult:
    columns = _columns(connection, sql)
    cursor = connection.cursor()
    rows: list[tuple[Any, ...]] = []
    # stream() uses the extended protocol, which accepts only one statement and fetches row by
    # row. Closing it early cancels the rest.
    stream = cast("Generator[tuple[Any, ...]]", cursor.stream(sql))
    with closing(stream):
        for row in stream:
            if len(rows) == row_limit:
                return QueryResult(columns, rows, truncated=True)
            rows.append(row)
    return QueryResult(columns, rows, truncated=False)


def _columns(connection: psycopg.Connection[Any], sql: str) -> tuple[str, ...]:
    """Return the columns of a statement's result, which the server describes before it runs.

    Raises:
        QueryError: The statement returns no rows.
        psycopg.Error: The server refuses the statement, or there are several.
    """
    server = connection.pgconn
    server.send_prepare(b"", sql.encode())
    _answer(connection)
    server.send_describe_prepared(b"")
    answer = _answer(connection)
    if answer.nfields == 0:
        word = first_word(sql)
        if word == "SELECT":
            raise QueryError("the query selects no columns")
        raise QueryError(f"{ONLY_READ}, not with {word}" if word else "the query is empty")
    return tuple((answer.fname(number) or b"").decode() for number in range(answer.nfields))


def _relations(connection: psycopg.Connection[Any]) -> list[str]:
    """Return the views and tables of the history, to suggest one for a misspelled name."""
    try:
        connection.rollback()
        found = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace "
            "AND relkind IN ('v', 'r', 'p') AND NOT relispartition ORDER BY relkind DESC, relname"
        )
        return [name for (name,) in found]
    except psycopg.Error:  # report the wrong query, not this error
        return []


def _answer(connection: psycopg.Connection[Any]) -> PGresult:
    """Return the server's answer. Meanwhile other threads run, and Ctrl-C works.

    libpq's blocking functions, which psycopg calls with the interpreter's lock held, allow neither.

    Raises:
        psycopg.Error: The server refuses it.
    """
    answers: list[PGresult] = connection.wait(generators.execute(connection.pgconn))
    [answer] = answers
    if answer.status != ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(answer)
    return answer


_POWERS = r"""
SELECT session_user, power
FROM (
    SELECT 'as ' || rolname || ' it is a superuser' AS power, 1 AS place
    FROM pg_roles
    WHERE rolsuper AND pg_has_role(session_user, oid, 'MEMBER')
    UNION ALL
    SELECT 'as ' || rolname || ' it may create roles or databases, replicate, or pass by row '
        'security', 2
    FROM pg_roles
    WHERE (rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
        AND pg_has_role(session_user, oid, 'MEMBER')
    UNION ALL
    SELECT 'it is a member of ' || rolname, 3
    FROM pg_roles
    WHERE (rolname LIKE 'pg\_%' OR rolname LIKE 'rds%')
        AND rolname NOT IN ('pg_read_all_data', 'pg_read_all_stats', 'pg_read_all_settings',
            'pg_stat_scan_tables', 'pg_monitor', 'pg_use_reserved_connections', 'rds_iam')
        AND pg_has_role(session_user, oid, 'MEMBER')
    UNION ALL
    SELECT 'as ' || roles.rolname || ' it may write to ' || tables.oid::regclass, 4
    FROM pg_roles AS roles
    JOIN pg_class AS tables
        ON tables.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND tables.relnamespace NOT IN (
            'pg_catalog'::regnamespace, 'information_schema'::regnamespace
        )
        AND tables.relpersistence <> 't'
        AND has_table_privilege(roles.oid, tables.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
    WHERE pg_has_role(session_user, roles.oid, 'MEMBER')
    UNION ALL
    SELECT 'as ' || roles.rolname || ' it may run ' || functions.proname || ', which writes', 5
    FROM pg_roles AS roles
    JOIN pg_proc AS functions
        ON functions.prosecdef AND functions.provolatile = 'v'
        AND functions.prorettype <> 'trigger'::regtype
        AND functions.pronamespace NOT IN (
            'pg_catalog'::regnamespace, 'information_schema'::regnamespace
        )
        AND NOT EXISTS (
            SELECT FROM pg_depend WHERE objid = functions.oid AND deptype = 'e'  -- an extension's
        )
        AND has_function_privilege(roles.oid, functions.oid, 'EXECUTE')
    WHERE pg_has_role(session_user, roles.oid, 'MEMBER')
) AS powers
ORDER BY place
LIMIT 1
"""
# All roles that the login is a member of count, because SET ROLE is one function call away.
# The predefined read-only roles are allowed. rds_iam marks a login with a short-lived token
# on RDS.
