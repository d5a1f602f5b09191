"""Databases for tests: copies of a migrated one, which are emptied and lent again."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url

_CHANGED = " + ".join(
    f"pg_stat_get_tuples_{how}(pg_class.oid)" for how in ("inserted", "updated", "deleted")
)
_SCHEMA = f"""
SELECT sum({_CHANGED}), count(setdatabase), max(d.xmin::text::bigint)
FROM pg_class, pg_database d LEFT JOIN pg_db_role_setting ON setdatabase = d.oid
WHERE relkind = 'r' AND relnamespace = 'pg_catalog'::regnamespace AND NOT relisshared
    AND datname = current_database()
"""
"""Changed rows of the catalogs (DDL and ANALYZE change them), and the settings of the database."""
_ROWS = f"""
SELECT relname, {_CHANGED} FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0
"""
_SEQUENCES = "SELECT seqrelid::regclass::text, pg_sequence_last_value(seqrelid) FROM pg_sequence"
_RESTART = """
SELECT setval(seqrelid, seqstart, false) FROM pg_sequence
WHERE pg_sequence_last_value(seqrelid) IS NOT NULL AND seqrelid::regclass::text <> ALL (%s)
"""
"""Restarts sequences but some. TRUNCATE would not restart those of a partitioned table."""
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

    A copy whose schema, settings or first rows a test has changed is dropped. PostgreSQL's
    own counts of changed rows tell: reading the rows would take most of the time.

    Args:
        server_url: The server, as its superuser.
        template: The name of the database to copy.
    """

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        with psycopg.connect(url_of(server_url, template), autocommit=True) as connection:
            self._kept = list(_changes(connection))
            self._begun = [name for name, value in connection.execute(_SEQUENCES) if value]
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
                changes = _changes(connection)
                if connection.execute(_SCHEMA).fetchall() != schema or any(
                    changes.pop(name, 1) for name in self._kept
                ):
                    return None
                if changes:
                    connection.execute("SET session_replication_role = replica")  # no triggers
                    tables = sql.SQL(", ").join(map(sql.Identifier, changes))
                    connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(tables))
                connection.execute(_RESTART, [self._begun])
                connection.execute("SELECT pg_stat_force_next_flush()")  # counts of ours too
                connection.execute("SELECT pg_stat_reset()")
                if self._rows(connection) != self._first:
                    return None
                return connection.execute(_SCHEMA).fetchall()
        except psycopg.Error:  # the test dropped it, or lets nobody in
            return None

    def _rows(self, connection: "psycopg.Connection[Any]") -> State:
        """Return the sequences, and the number of rows of the tables that the template fills."""
        found: State = [sorted(connection.execute(_SEQUENCES))]
        for name in self._kept:
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))
            found.append(connection.execute(query).fetchall())
        return found


def _changes(connection: "psycopg.Connection[Any]") -> dict[str, int]:
    """Return how many rows were changed in each table that has any, or had."""
    return dict(connection.execute(_ROWS).fetchall())
