"""A small HTTP/1.1 server for benchmarks: so little work a request that it is not what is measured.

It knows what clients of AWS send: a method, headers, a body with a length, one request after the
other on a connection that stays open.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import cast

import uvloop

Headers = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer."""

    body: bytes
    status: bytes = b"200 OK"
    media_type: bytes = b"application/x-amz-json-1.1"
    delay_seconds: float = 0.0
    etag: bytes = b"-"


Handler = Callable[[bytes, Headers, bytes], "Answer | Awaitable[Answer]"]
"""Given the path, the headers (names in lower case) and the body."""


class _Connection(asyncio.Protocol):
    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._read = b""
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of no class of asyncio

    def connection_lost(self, error: Exception | None) -> None:
        del error
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        self._read += data
        while True:
            head, separator, rest = self._read.partition(b"\r\n\r\n")
            if not separator:
                return
            first, *lines = head.split(b"\r\n")
            headers = {}
            for line in lines:
                name, _, value = line.partition(b":")
                headers[name.lower()] = value.strip()
            if headers.pop(b"expect", b""):
                assert self._transport is not None
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = int(headers.get(b"content-length", b"0"))
            if len(rest) < length:
                return
            self._read = rest[length:]
            self._answer(first.split(b" ")[1], headers, rest[:length])

    def _answer(self, path: bytes, headers: Headers, body: bytes) -> None:
        answer = self._handler(path, headers, body)
        if isinstance(answer, Answer):
            if answer.delay_seconds:
                asyncio.get_running_loop().call_later(answer.delay_seconds, self._write, answer)
            else:
                self._write(answer)
        else:
            task = asyncio.ensure_future(self._write_later(answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _write_later(self, answer: Awaitable[Answer]) -> None:
        self._write(await answer)

    def _write(self, answer: Answer) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 %b\r\nContent-Type: %b\r\nx-amzn-RequestId: 0\r\nETag: %b\r\n"
                b"Content-Length: %d\r\n\r\n%b"
                % (answer.status, answer.media_type, answer.etag, len(answer.body), answer.body)
            )


def serve(handler: Handler, port: int = 0) -> None:
    """Serve on 127.0.0.1 until the process is ended; prints the address in one line."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _Connection(handler), "127.0.0.1", port, backlog=1024
        )
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201
        await server.serve_forever()

    uvloop.run(run())
