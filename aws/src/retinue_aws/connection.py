"""One HTTP/1.1 connection with one request at a time, parsed by httptools."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import cast

from httptools import HttpParserError, HttpResponseParser

_LONGEST_HEAD_BYTES = 262_144
"""Maximum size of an answer's headers."""

_LONGEST_ERROR_BYTES = 1_048_576
"""Maximum size of an error answer. The rest is cut off."""


class ClosedError(Exception):
    """The connection was closed before there was an answer."""


class TruncatedError(Exception):
    """The connection was closed within the body of an answer.

    Attributes:
        actual_bytes: Number of received bytes.
        expected_bytes: The announced length, ``None`` if none was announced.
    """

    def __init__(self, actual_bytes: int, expected_bytes: int | None) -> None:
        super().__init__("closed within the body")
        self.actual_bytes = actual_bytes
        self.expected_bytes = expected_bytes


class TooLargeError(Exception):
    """The body of an answer is larger than allowed."""


class ProtocolError(Exception):
    """The answer isn't HTTP."""


@dataclass(slots=True)
class HttpAnswer:
    """An HTTP response.

    Attributes:
        url: The requested URL.
        status: The HTTP status.
        headers: Headers, by lower-case name.
        body: The body as it was sent, without decompression.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return a header by its name in lower case, or ``None`` if it's absent or empty."""
        return self.headers.get(name) or None


class Connection(asyncio.Protocol):
    """A connection to a server or a proxy, made by ``loop.create_connection``.

    Attributes:
        transport: The transport. TLS within a tunnel replaces it.
        is_reusable: Whether another request may be sent.
        active_at: When it last began a request or received data, by the loop's clock.
    """

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_reusable = True
        self.active_at = 0.0
        self._loop = loop
        self._parser = HttpResponseParser(self)
        self._waiter: asyncio.Future[HttpAnswer] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def exchange(
        self,
        method: str,
        url: str,
        request: bytes,
        *,
        max_bytes: int,
        read_timeout: float,
        total_timeout: float,
    ) -> HttpAnswer:
        """Send a request and return its answer. A call that is cancelled closes the connection.

        Args:
            method: The HTTP method.
            url: The URL for the answer.
            request: The encoded request.
            max_bytes: Maximum size of a good answer's body.
            read_timeout: Maximum seconds without sent or received data; may be infinite.
            total_timeout: Maximum seconds of the exchange; may be infinite.

        Raises:
            ClosedError: The connection was closed before the headers were complete.
            TruncatedError: It was closed within the body.
            TooLargeError: The body is larger than ``max_bytes``.
            ProtocolError: The answer isn't HTTP.
            TimeoutError: It took too long.
        """
        self._has_body = method not in ("HEAD", "CONNECT")
        self._url = url
        self._max_bytes = max_bytes
        self._read_timeout = read_timeout
        self._expect_answer()
        waiter: asyncio.Future[HttpAnswer] = self._loop.create_future()
        self._waiter = waiter
        self.active_at = now = self._loop.time()
        self._deadline = now + total_timeout
        self._unsent = 0
        if self._timer is None:  # that of an earlier exchange is due sooner, and waits for the rest
            self._watch_from(now)
        try:
            self.transport.write(request)
            return await waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._waiter = None

    def close(self) -> None:
        """Close the connection immediately."""
        self.is_reusable = False
        self.transport.abort()

    def _expect_answer(self) -> None:
        self._headers: dict[str, str] = {}
        self._body = b""
        self._buffer: BytesIO | None = None
        self._body_bytes = 0
        self._head_bytes = 0
        self._has_headers = False

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's isn't a subclass

    def data_received(self, data: bytes) -> None:
        """Parse received data."""
        if self._waiter is None or self._waiter.done():
            self.close()  # an answer without a request
            return
        self.active_at = self._loop.time()
        if not self._has_headers:
            self._head_bytes += len(data)
            if self._head_bytes > _LONGEST_HEAD_BYTES:
                self._fail(ProtocolError("the headers are too long"))
                return
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self._fail(ProtocolError(str(error)))

    def connection_lost(self, exc: Exception | None) -> None:
        """End an answer that ends with its connection. Fail any other."""
        self.is_reusable = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if not self._has_headers:
            self._fail(ClosedError(str(exc or "closed by the other side")))
        elif exc is None and self._expected_bytes is None and not self._is_chunked:
            self._complete()
        else:
            self._fail(TruncatedError(self._body_bytes, self._expected_bytes))

    # Called by the parser.

    def on_message_begin(self) -> None:
        """Record an answer's beginning."""
        if self._waiter is None:
            self.close()  # another answer after the requested one

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header, joined with another of its name."""
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """Determine how the body ends."""
        self._status = self._parser.get_status_code()
        if self._status < 200:
            return
        self._has_headers = True
        length = self._headers.get("content-length")
        self._expected_bytes = int(length) if length and length.isdecimal() else None
        self._is_chunked = "transfer-encoding" in self._headers
        if not self._has_body:
            self._complete()
            self._parser = HttpResponseParser(self)  # which would wait for a body
        elif self._status < 300 and (self._expected_bytes or 0) > self._max_bytes:
            self._fail(TooLargeError())

    def on_body(self, piece: bytes) -> None:
        """Store a part of the body, if it isn't too large."""
        self._body_bytes += len(piece)
        if len(piece) == self._expected_bytes:  # most answers in JSON are one piece
            self._body = piece
        else:
            if self._buffer is None:
                self._buffer = self._new_buffer()
            self._buffer.write(piece)
        if self._status < 300:
            if self._body_bytes > self._max_bytes:
                self._fail(TooLargeError())
        elif self._body_bytes > _LONGEST_ERROR_BYTES:
            self._complete()
            self.close()

    def on_message_complete(self) -> None:
        """Return the answer, unless it is a preliminary one."""
        if self._status < 200:
            self._expect_answer()
        elif self._waiter is not None:
            self.is_reusable &= self._parser.should_keep_alive()
            self._complete()

    def _new_buffer(self) -> BytesIO:
        """Return a buffer that needn't grow, which costs more than receiving a large body."""
        return BytesIO(bytes(self._expected_bytes or 0) if self._status < 300 else b"")

    def _complete(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            body = self._body if self._buffer is None else self._buffer.getvalue()
            waiter.set_result(HttpAnswer(self._url, self._status, self._headers, body))

    def _fail(self, error: Exception) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.close()

    def _watch(self) -> None:
        """End an exchange that stalls or takes too long."""
        self._timer = None
        if self._waiter is None:  # between two exchanges
            return
        now = self._loop.time()
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self.active_at = unsent, now
        if now >= min(self.active_at + self._read_timeout, self._deadline):
            self._fail(TimeoutError("the answer takes too long"))
        else:
            self._watch_from(now)

    def _watch_from(self, now: float) -> None:
        at = min(self.active_at + self._read_timeout, self._deadline)
        if at != math.inf:
            self._timer = self._loop.call_later(max(0, at - now), self._watch)
