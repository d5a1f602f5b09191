"""A PostgreSQL server that can be stopped, crashed, filled up and started again."""

import os
import secrets
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql
from retinue_cli.local.postgres import EmbeddedPostgres
from retinue_cli.local.state import State
from retinue_history.schema.migrate import upgrade
from sqlalchemy import make_url

WORKER = "faulted_worker"
"""The workers' login: no superuser, so that it has no connection to spare when all are taken."""

CONNECTIONS = 30
"""Most connections of the server, three of them for superusers."""

_SIGN_IN = f"local all {WORKER} scram-sha-256\n"


class Database:
    """A server of our own, with the worker's login and a migrated database to copy.

    Workers reach it through a folder that is a symbolic link, as they reach RDS through a name:
    what the link leads to can change.

    Attributes:
        passfile: Where workers find their password.
        door: The link.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._folder = Path(tempfile.mkdtemp(prefix="rqf"))  # short: a socket's path must be
        self._folder.chmod(0o711)
        self.server = EmbeddedPostgres(State(self._folder / "a"))
        self.passfile = self._folder / "passfile"
        self.door = self._folder / "door"

    def make(self) -> None:
        """Start it for the first time."""
        self.start()
        with self.admin() as admin:
            for setting, value in (("fsync", "off"), ("max_connections", str(CONNECTIONS))):
                admin.execute(f"ALTER SYSTEM SET {setting} = {value}")
        upgrade(self.server.url())
        with self.admin() as admin:
            admin.execute(f"CREATE ROLE {WORKER} LOGIN IN ROLE retinue_writer")
        rules = self.server._data / "pg_hba.conf"
        rules.write_text(_SIGN_IN + rules.read_text("utf-8"), "utf-8")
        self.rotate_password()
        self.publish_password()
        self.restart()

    def remove(self) -> None:
        """Stop it for the last time."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start it; recovers after a crash."""
        self.server.__enter__()
        self.lead_to(self.server)

    def stop(self) -> None:
        """Stop it as `pg_ctl stop -m fast` does: sessions are ended."""
        self.server.__exit__(None, None, None)

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def crash(self) -> None:
        """End all of it at once, with nothing written down but the log that recovers it."""
        process = self.server._server
        assert process is not None
        os.kill(process.pid, signal.SIGQUIT)
        process.wait(30)
        self.stop()

    def freeze(self) -> None:
        """Stop all of its processes where they are: connections stay, and nobody answers."""
        process = self.server._server
        assert process is not None
        whole = psutil.Process(process.pid)
        self._frozen = [whole, *whole.children(recursive=True)]
        for each in self._frozen:
            with suppress(psutil.NoSuchProcess):
                each.suspend()

    def thaw(self) -> None:
        """Let them go on."""
        for each in self._frozen:
            with suppress(psutil.NoSuchProcess):
                each.resume()

    def lead_to(self, server: EmbeddedPostgres) -> None:
        """Let the door lead to a server, as a failover lets RDS's name."""
        assert server._socket_folder is not None
        draft = self.door.with_name("door.draft")
        draft.symlink_to(server._socket_folder)
        draft.replace(self.door)

    def copy(self) -> str:
        """Name of a fresh database."""
        name = f"f{uuid.uuid4().hex[:12]}"
        with self.admin() as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE retinue").format(sql.Identifier(name))
            )
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is connected."""
        with self.admin() as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def worker_url(self, name: str) -> str:
        """Return the URL of a database through the proxy, with the password from the file."""
        return f"postgresql://{WORKER}@/{name}?host={self.door}&passfile={self.passfile}"

    @contextmanager
    def admin(self, name: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        """Yield a superuser's session, each statement by itself."""
        url = make_url(self.server.url(name)).set(drivername="postgresql")
        with psycopg.connect(url.render_as_string(), autocommit=True) as connection:
            yield connection

    def cut(self) -> int:
        """End every session of a worker; how many there were."""
        with self.admin() as admin:
            ended = admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s",
                [WORKER],
            )
            return ended.rowcount

    def rotate_password(self) -> None:
        """Give the login a new password, which workers do not know yet. Open sessions go on."""
        self._password = secrets.token_hex(8)
        with self.admin() as admin:
            admin.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                    sql.Identifier(WORKER), sql.Literal(self._password)
                )
            )

    def publish_password(self) -> None:
        """Let workers know it."""
        draft = self.passfile.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(f"*:*:*:*:{self._password}\n", "utf-8")
        draft.replace(self.passfile)

    def set_read_only(self, name: str, *, read_only: bool) -> None:
        """Let a database take no writes, as a replica does; sessions begin anew."""
        with self.admin() as admin:
            admin.execute(
                sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}").format(
                    sql.Identifier(name), sql.Literal("on" if read_only else "off")
                )
            )
        self.cut()

    @contextmanager
    def crowded(self, name: str) -> Iterator[None]:
        """Take every connection that is not a superuser's, before workers get theirs again."""
        url = make_url(self.server.url(name)).set(drivername="postgresql")
        taken: list[psycopg.Connection[Any]] = []
        with self.admin() as admin:
            admin.execute("DROP ROLE IF EXISTS crowd")
            admin.execute("CREATE ROLE crowd LOGIN")
            try:
                crowd = url.set(username="crowd").render_as_string()
                while len(taken) < CONNECTIONS:
                    with suppress(psycopg.OperationalError):
                        taken.append(psycopg.connect(crowd))
                        continue
                    if not self.cut():
                        break
                yield
            finally:
                for connection in taken:
                    connection.close()
                admin.execute("DROP ROLE crowd")
