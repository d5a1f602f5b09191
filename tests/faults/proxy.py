"""A proxy between the worker and AWS's protocol, which breaks what passes through it."""

import json
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

DRIP_SECONDS = 0.2
"""Between two bytes of a body that drips."""

_SCOPE = re.compile(r"Credential=[^/]*/\d+/[^/]+/([a-z0-9-]+)/aws4_request")
_QUERY_ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
_HOPS = {"connection", "transfer-encoding", "keep-alive"}


class Breakage(StrEnum):
    """The kinds of faults of a request."""

    SLOW = "slow"
    """It is answered, ``seconds`` later."""
    HANG = "hang"
    """Nothing comes for ``seconds``, and then the connection breaks."""
    RESET = "reset"
    """The connection breaks before the request arrives."""
    LOSE_ANSWER = "lose-answer"
    """The request is carried out, and the connection breaks before the answer arrives."""
    ERROR = "error"
    """A 500 or a 503."""
    THROTTLE = "throttle"
    """The service's own way to say that there are too many calls."""
    DENY = "deny"
    """Access denied."""
    DUPLICATE = "duplicate"
    """SQS alone: every message of a receive comes twice."""
    SHUFFLE = "shuffle"
    """SQS alone: the messages of a receive come in any order."""
    PARTLY = "partly"
    """SQS alone: of a batch that deletes or hides, some entries are refused for the moment."""
    DRIP = "drip"
    """The body comes a byte at a time, for ever."""
    CUT = "cut"
    """Half of the body comes, and then the connection breaks."""


@dataclass(frozen=True, slots=True)
class Weather:
    """The faults of a service's requests from now on.

    Attributes:
        breakage: What happens.
        rate: To how many of them, 0 to 1.
        seconds: How long it takes, where it takes time.
        about: To those alone whose operation or path contains this text.
    """

    breakage: Breakage
    rate: float = 1.0
    seconds: float = 0.5
    about: str = ""


@dataclass(slots=True)
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Proxy:
    """A context manager: it serves inside.

    Args:
        upstream: URL of each service.
        seed: Decides which requests are struck.

    Attributes:
        struck: How many requests each breakage struck, by service.
        passed: How many requests each service was sent.
    """

    upstream: Mapping[str, str]
    seed: int = 0
    struck: Counter[tuple[str, Breakage]] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Serve nothing yet."""
        self._lock = threading.Lock()
        self._random = random.Random(self.seed)
        self._weather: dict[str, tuple[Weather, ...]] = {}
        self._climate: dict[str, tuple[Weather, ...]] = {}
        self._changed = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Serve no more."""
        self.clear()
        self._server.shutdown()
        self._thread.join(timeout=10)
        self._server.server_close()

    @property
    def url(self) -> str:
        """Return the URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def set(self, service: str, *weather: Weather) -> None:
        """Let this happen to a service's requests from now on, instead of what happened so far."""
        with self._lock:
            self._weather[service] = weather
            self._wake()

    def set_for_good(self, service: str, *weather: Weather) -> None:
        """Let this happen whatever the weather is, and also after ``clear``."""
        with self._lock:
            self._climate[service] = weather

    def clear(self) -> None:
        """Let everything pass; requests that hang break at once."""
        with self._lock:
            self._weather.clear()
            self._wake()

    @contextmanager
    def weather(self, service: str, *weather: Weather) -> Iterator[None]:
        """Apply ``set`` until the end of the block."""
        self.set(service, *weather)
        try:
            yield
        finally:
            self.set(service)

    def chosen(self, service: str, about: str) -> Weather | None:
        """Return the fault of this request; ``None`` if it passes."""
        with self._lock:
            self.passed[service] += 1
            for weather in (*self._climate.get(service, ()), *self._weather.get(service, ())):
                if weather.about in about and self._random.random() < weather.rate:
                    self.struck[service, weather.breakage] += 1
                    return weather
        return None

    @property
    def changed(self) -> threading.Event:
        """Set as soon as the weather changes."""
        return self._changed

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the weather changes."""
        self._changed.wait(seconds)

    def shuffled(self, items: list[Any]) -> list[Any]:
        """Return the same in any order."""
        with self._lock:
            return self._random.sample(items, len(items))

    def _wake(self) -> None:
        """Let everybody go who waits."""
        self._changed.set()
        self._changed = threading.Event()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Say nothing: a worker that is killed breaks its connections."""


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        _connections: dict[str, HTTPConnection]

        def setup(self) -> None:
            super().setup()
            self._connections = {}

        def finish(self) -> None:
            for connection in self._connections.values():
                connection.close()
            super().finish()

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            scope = _SCOPE.search(self.headers.get("Authorization", ""))
            service = scope[1] if scope else "s3"
            action = _QUERY_ACTION.search(body) if service == "sns" else None
            operation = self.headers.get("X-Amz-Target", "") or (
                action[1].decode() if action else ""
            )
            weather = proxy.chosen(service, f"{operation} {self.path}")
            match weather.breakage if weather else None:
                case Breakage.HANG:
                    proxy.wait(weather.seconds if weather else 0)
                    self._reset()
                    return
                case Breakage.RESET:
                    self._reset()
                    return
                case Breakage.ERROR | Breakage.THROTTLE | Breakage.DENY as breakage:
                    self._answer(_refusal(service, breakage))
                    return
                case Breakage.SLOW:
                    proxy.wait(weather.seconds if weather else 0)
            refused: list[dict[str, Any]] = []
            if weather is not None and weather.breakage is Breakage.PARTLY:
                body, refused = _some(body, proxy)
            try:
                answer = self._forward(service, body)
            except (OSError, HTTPException):  # the service itself is away
                self._reset()
                return
            match weather.breakage if weather else None:
                case Breakage.LOSE_ANSWER:
                    self._reset()
                    return
                case Breakage.DUPLICATE | Breakage.SHUFFLE as breakage:
                    _disorder(answer, proxy, twice=breakage is Breakage.DUPLICATE)
                case Breakage.DRIP | Breakage.CUT as breakage:
                    self._answer(answer, breakage)
                    return
            if refused:
                _refuse_entries(answer, refused)
            self._answer(answer)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - http.server's names

        def _forward(self, service: str, body: bytes) -> _Answer:
            """Ask the service; once more if an idle connection turns out to be closed."""
            headers = dict(self.headers.items())
            if "Content-Length" in self.headers:  # some entries may have been taken out
                headers["Content-Length"] = str(len(body))
            for fresh in (False, True):
                connection = None if fresh else self._connections.get(service)
                reused = connection is not None
                if connection is None:
                    parts = urlsplit(proxy.upstream[service])
                    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=60)
                    self._connections[service] = connection
                try:
                    connection.request(self.command, self.path, body, headers)
                    return _read(connection.getresponse())
                except (OSError, HTTPException):
                    connection.close()
                    if not reused:
                        raise
            raise AssertionError("unreachable")

        def _answer(self, answer: _Answer, breakage: Breakage | None = None) -> None:
            self.send_response_only(answer.status)
            for name, value in answer.headers:
                if name.lower() != "content-length" or self.command == "HEAD":
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            match breakage:
                case Breakage.CUT:
                    self.wfile.write(answer.body[: len(answer.body) // 2])
                    self._reset()
                case Breakage.DRIP:
                    self._drip(answer.body)
                case _:
                    self.wfile.write(answer.body)

        def _drip(self, body: bytes) -> None:
            """Send a byte now and then, so that no wait for the next is long.

            The last never arrives.

            Ends when the other side has had enough, or the weather changes.
            """
            changed = proxy.changed
            rest = iter(body[:-1])
            with suppress(OSError):
                while not changed.wait(DRIP_SECONDS):
                    if (byte := next(rest, None)) is not None:
                        self.wfile.write(bytes([byte]))
                    self.connection.settimeout(0.001)
                    with suppress(TimeoutError):
                        if not self.connection.recv(1):
                            break  # it was closed
            self._reset()

        def _reset(self) -> None:
            """Break the connection as a dead host would: RST, not FIN."""
            self.close_connection = True
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _read(response: HTTPResponse) -> _Answer:
    headers = [(name, value) for name, value in response.getheaders() if name.lower() not in _HOPS]
    return _Answer(response.status, headers, response.read())


def _refusal(service: str, breakage: Breakage) -> _Answer:
    """Return an error in the service's own words."""
    status, code = {
        (Breakage.ERROR, "s3"): (500, "InternalError"),
        (Breakage.ERROR, "sqs"): (503, "ServiceUnavailable"),
        (Breakage.ERROR, "sns"): (500, "InternalError"),
        (Breakage.ERROR, "rekognition"): (500, "InternalServerError"),
        (Breakage.THROTTLE, "s3"): (503, "SlowDown"),
        (Breakage.THROTTLE, "sqs"): (403, "RequestThrottled"),
        (Breakage.THROTTLE, "sns"): (429, "Throttled"),
        (Breakage.THROTTLE, "rekognition"): (400, "ProvisionedThroughputExceededException"),
        (Breakage.DENY, "s3"): (403, "AccessDenied"),
        (Breakage.DENY, "sqs"): (403, "AccessDenied"),
        (Breakage.DENY, "sns"): (403, "AuthorizationError"),
        (Breakage.DENY, "rekognition"): (400, "AccessDeniedException"),
    }[breakage, service]
    if service == "s3":
        xml = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>as told</Message></Error>"
        return _Answer(status, [("Content-Type", "application/xml")], xml.encode())
    if service == "sns":
        error = f"<Error><Type>Receiver</Type><Code>{code}</Code><Message>as told</Message></Error>"
        xml = f"<ErrorResponse>{error}<RequestId>0</RequestId></ErrorResponse>"
        return _Answer(status, [("Content-Type", "text/xml")], xml.encode())
    text = json.dumps({"__type": code, "message": "as told"})
    return _Answer(status, [("Content-Type", "application/x-amz-json-1.1")], text.encode())


def _disorder(answer: _Answer, proxy: Proxy, *, twice: bool) -> None:
    """Mix up the messages of a receive; anything else stays as it is."""
    try:
        content = json.loads(answer.body)
        messages = content["Messages"]
    except (ValueError, KeyError, TypeError):
        return
    content["Messages"] = proxy.shuffled(messages * 2 if twice else messages)
    answer.body = json.dumps(content).encode()
    answer.headers = [(n, v) for n, v in answer.headers if "crc32" not in n.lower()]


def _some(body: bytes, proxy: Proxy) -> tuple[bytes, list[dict[str, Any]]]:
    """Return a batch without half of its entries, and these. Return other requests unchanged."""
    try:
        content = json.loads(body)
        entries = content["Entries"]
    except (ValueError, KeyError, TypeError):
        return body, []
    mixed = proxy.shuffled(entries)
    kept, refused = mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]
    if not kept:  # SQS takes no empty batch
        return body, []
    return json.dumps(content | {"Entries": kept}).encode(), refused


def _refuse_entries(answer: _Answer, refused: Sequence[Mapping[str, Any]]) -> None:
    """Say that some entries of a batch did not work this time."""
    content = json.loads(answer.body)
    content.setdefault("Failed", []).extend(
        {"Id": entry["Id"], "SenderFault": False, "Code": "InternalError", "Message": "as told"}
        for entry in refused
    )
    answer.body = json.dumps(content).encode()
    answer.headers = [(n, v) for n, v in answer.headers if "crc32" not in n.lower()]
