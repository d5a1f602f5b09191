"""Poolers before a real PostgreSQL: a fake that is as harsh as one can be, and PgBouncer."""

import os
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import IO, ClassVar, Literal

from sqlalchemy import URL, make_url

from fakes.waiting import eventually

Mode = Literal["session", "transaction", "statement"]

PARAMETERS = frozenset({"user", "database", "application_name", "client_encoding"})
"""The startup parameters that every pooler takes; RDS Proxy, for one, refuses ``options``."""

PGBOUNCER = {"pgbouncer": "pgbouncer"}
"""The program that ``pgbouncer`` starts, and its package."""

_SESSIONS = 3
_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102


def _socket_folder(url: str) -> str:
    """Return the folder of a server's Unix socket."""
    return str(make_url(url).query["host"])


def _address(url: str, port: int) -> str:
    """Return the same database and login, through a pooler."""
    parsed = make_url(url)
    address = URL.create("postgresql", parsed.username, None, "127.0.0.1", port, parsed.database)
    return address.render_as_string(hide_password=False)


class _Server:
    """A connection to the real server."""

    def __init__(self, path: str, startup: bytes) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._stream = self._socket.makefile("rwb")
        self.send(startup)

    def send(self, message: bytes) -> None:
        self._stream.write(message)
        self._stream.flush()

    def answer(self) -> tuple[bytes, bytes]:
        """Return all messages up to ReadyForQuery, and the transaction's status in that one."""
        answer = b""
        while True:
            kind, message = _message(self._stream)
            answer += message
            if kind == b"Z":
                return answer, message[-1:]

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


def _message(stream: IO[bytes]) -> tuple[bytes, bytes]:
    """Read a message; return its kind and all of it.

    Raises:
        EOFError: The connection is closed.
    """
    head = stream.read(5)
    if len(head) < 5:
        raise EOFError
    return head[:1], head + stream.read(struct.unpack("!i", head[1:])[0] - 4)


class _Client(StreamRequestHandler):
    """Serves a client; each of its transactions runs in another session."""

    path: ClassVar[str]

    def handle(self) -> None:
        with suppress(EOFError, OSError), ExitStack() as stack:
            startup = self._startup()
            words = startup[8:].split(b"\0")
            refused = {word.decode() for word in words[:-2:2]} - PARAMETERS
            if refused:
                fields = f"SFATAL\0C0A000\0Munsupported startup parameter: {min(refused)}\0\0"
                body = fields.encode()
                self.wfile.write(b"E" + struct.pack("!i", len(body) + 4) + body)
                return
            sessions = [_Server(self.path, startup) for _ in range(_SESSIONS)]
            for session in sessions:
                stack.callback(session.close)
            greetings = [session.answer()[0] for session in sessions]
            self.wfile.write(greetings[0])
            self._serve(sessions)

    def _startup(self) -> bytes:
        while True:
            length, code = struct.unpack("!ii", self.rfile.read(8))
            if code == _CANCEL:
                raise EOFError
            if code not in (_SSL, _GSS):
                return struct.pack("!ii", length, code) + self.rfile.read(length - 8)
            self.wfile.write(b"N")

    def _serve(self, sessions: list[_Server]) -> None:
        turn = 0
        while True:
            kind, message = _message(self.rfile)
            if kind == b"X":
                return
            session = sessions[turn % len(sessions)]
            session.send(message)
            if kind in (b"Q", b"S"):
                answer, status = session.answer()
                self.wfile.write(answer)
                turn += status == b"I"


class _Listener(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def rotating_pooler(url: str) -> Iterator[str]:
    """Yield a pooler that gives each transaction another session than the one before.

    Yields:
        The database's URL through it.
    """
    path = f"{_socket_folder(url)}/.s.PGSQL.5432"
    handler = type("_Client", (_Client,), {"path": path})
    with _Listener(("127.0.0.1", 0), handler) as listener:
        Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield _address(url, listener.server_address[1])
        listener.shutdown()


@contextmanager
def pgbouncer(url: str, mode: Mode, *logins: str) -> Iterator[str]:
    """PgBouncer, in one of its modes, as it comes: with no startup parameter ignored.

    Args:
        url: The database; its server lets everyone in on its Unix socket.
        mode: What it pools.
        logins: Who may log in beside the URL's own login.

    Yields:
        The database's URL through it.
    """
    # Who may open the server's socket; as root, PgBouncer refuses to run.
    user = Path(_socket_folder(url)).owner() if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="rqb"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = {str(make_url(url).username), *logins}
    (folder / "users").write_text("".join(f'"{name}" ""\n' for name in sorted(names)))
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={_socket_folder(url)} port=5432\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {folder}/users\npool_mode = {mode}\n"
        "default_pool_size = 8\nserver_round_robin = 1\n"
    )
    folder.chmod(0o755)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["pgbouncer", str(folder / "pgbouncer.ini")], user=user, stdout=log, stderr=log
        )
    try:

        def listens() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            with socket.socket() as trial:
                return trial.connect_ex(("127.0.0.1", port)) == 0

        eventually(listens, what="PgBouncer listening")
        yield _address(url, port)
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)
