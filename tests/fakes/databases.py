"""Databases for tests: copies of a migrated one, which are emptied and lent again."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url

_CATALOGS = (
    "pg_attrdef", "pg_attribute", "pg_class", "pg_constraint", "pg_default_acl", "pg_depend",
    "pg_description", "pg_index", "pg_namespace", "pg_policy", "pg_proc", "pg_rewrite",
    "pg_statistic", "pg_statistic_ext", "pg_trigger", "pg_type",
)  # fmt: skip
_SETTINGS = """
SELECT count(setdatabase), max(d.xmin::text::bigint) FROM pg_database d
LEFT JOIN pg_db_role_setting ON setdatabase = d.oid WHERE datname = current_database()
"""
_SCHEMA = " UNION ALL ".join(
    [f"SELECT count(*), max(xmin::text::bigint) FROM {name}" for name in _CATALOGS] + [_SETTINGS]
)
"""The number of rows of each catalog, and its newest transaction: DDL and ANALYZE change them."""
_ROWS = """
SELECT relname FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0
ORDER BY 1
"""
_SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"
_DISCONNECT = """
SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

State = list[Any]


def url_of(server_url: str, name: str) -> str:
    """Return the URL of a database of a server."""
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def create(server_url: str, template: str) -> str:
    """Copy a database and return the copy's name. Nobody may be connected to the template."""
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(
            # Copying files takes half as long as PostgreSQL's other strategy, which logs all pages.
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    return name


def drop(server_url: str, name: str) -> None:
    """Drop a database under whoever is connected to it."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


class Databases:
    """Copies of a database. Emptying one takes a fraction of the time of making another.

    A copy whose schema, settings or first rows a test has changed is dropped.

    Args:
        server_url: The server, as its superuser.
        template: The name of the database to copy.
    """

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        with psycopg.connect(url_of(server_url, template), autocommit=True) as connection:
            self._kept = _names(connection)
            self._first = self._rows(connection)
        self._spare: list[tuple[str, State]] = []

    @contextmanager
    def lend(self) -> Iterator[str]:
        """Yield the URL of a database that is as the template."""
        name, schema = self._spare.pop() if self._spare else self._new()
        try:
            yield url_of(self._server_url, name)
        finally:
            emptied = self._empty(name, schema)
            if emptied is None:
                drop(self._server_url, name)
            else:
                self._spare.append((name, emptied))

    def close(self) -> None:
        """Drop all."""
        while self._spare:
            drop(self._server_url, self._spare.pop()[0])

    def _new(self) -> tuple[str, State]:
        name = create(self._server_url, self._template)
        with psycopg.connect(url_of(self._server_url, name), autocommit=True) as connection:
            return name, connection.execute(_SCHEMA).fetchall()

    def _empty(self, name: str, schema: State) -> State | None:
        """Empty a database and return its schema; ``None`` if it isn't as the template then."""
        try:
            with psycopg.connect(url_of(self._server_url, name), autocommit=True) as connection:
                connection.execute(_DISCONNECT)
                if connection.execute(_SCHEMA).fetchall() != schema:
                    return None
                written = [each for each in _names(connection) if each not in self._kept]
                if written:
                    connection.execute("SET session_replication_role = replica")  # no triggers
                    tables = sql.SQL(", ").join(map(sql.Identifier, written))
                    truncate = sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(tables)
                    connection.execute(truncate)
                connection.execute("SELECT pg_stat_reset()")
                if self._rows(connection) != self._first:
                    return None
                return connection.execute(_SCHEMA).fetchall()
        except psycopg.Error:  # the test dropped it, or lets nobody in
            return None

    def _rows(self, connection: "psycopg.Connection[Any]") -> State:
        """Return the sequences, and the rows of the tables that the template has rows in."""
        found: State = [connection.execute(_SEQUENCES).fetchall()]
        for name in self._kept:
            query = sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(name))
            found.append(connection.execute(query).fetchall())
        return found


def _names(connection: "psycopg.Connection[Any]") -> list[str]:
    return [name for (name,) in connection.execute(_ROWS)]
