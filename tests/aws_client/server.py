"""An HTTP server that keeps what it is asked and answers as it is told. It is also a proxy."""

import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    """A request: the target as it stands in the request line, headers by lower-case name."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        status: The HTTP status; ``None`` closes the connection without an answer.
        body: What is sent of the body.
        headers: Headers in addition to content type and length.
        length: The announced length, by default that of ``body``. If it's more, the connection is
            closed after the body.
        before: Called before anything is sent.
        after: Called when everything is sent.
        last: Close the connection after the answer, without announcing that.
    """

    status: int | None = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None
    last: bool = False


@dataclass
class Server:
    """A server: its address, the requests so far, and the next answers (then ``default``)."""

    url: str
    requests: list[Request] = field(default_factory=list)
    replies: deque[Reply] = field(default_factory=deque)
    default: Reply = field(default_factory=Reply)
    connections: int = 0


@contextmanager
def serving(
    tls: ssl.SSLContext | None = None, *, tunnels_to: str | None = None
) -> Iterator[Server]:
    """Serve on 127.0.0.1.

    Args:
        tls: Serve HTTPS.
        tunnels_to: As a proxy, where every tunnel leads to; by default tunnels are refused (502).
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def setup(self) -> None:
            super().setup()
            known.connections += 1

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            known.requests.append(Request(self.command, self.path, headers, body))
            reply = known.replies.popleft() if known.replies else known.default
            reply.before()
            self.close_connection = reply.status is None or reply.length is not None or reply.last
            if reply.status is None:
                return
            self.send_response(reply.status)
            for name, value in {
                "Content-Type": "application/x-amz-json-1.0",
                **reply.headers,
            }.items():
                self.send_header(name, value)
            length = len(reply.body) if reply.length is None else reply.length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD" and reply.status != 304:
                self.wfile.write(reply.body)
            self.wfile.flush()
            reply.after()

        do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815

        def do_CONNECT(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            known.requests.append(Request(self.command, self.path, headers))
            self.close_connection = True
            reply = known.replies.popleft() if known.replies else None
            if tunnels_to is None or reply is not None:
                self.send_error((reply and reply.status) or 502)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            host, _, port = tunnels_to.rpartition(":")
            with socket.create_connection((host, int(port))) as service:
                _relay(self.connection, service)

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: Any) -> None:
            pass

        def get_request(self) -> Any:
            accepted, address = super().get_request()
            if tls is not None:
                accepted = tls.wrap_socket(
                    accepted, server_side=True, do_handshake_on_connect=False
                )
            return accepted, address

    server = Quiet(("127.0.0.1", 0), Handler)
    known = Server(f"{'https' if tls else 'http'}://localhost:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until either side closes."""
    pairs = {one: other, other: one}
    with suppress(OSError):
        while True:
            waiting = [side for side in pairs if isinstance(side, ssl.SSLSocket) and side.pending()]
            for side in waiting or select.select(list(pairs), [], [])[0]:
                data = side.recv(65_536)
                if not data:
                    return
                pairs[side].sendall(data)
