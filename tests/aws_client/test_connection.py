"""A connection reads any form of an HTTP answer, however it's cut, and ends at anything else."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retinue_aws.connection import (
    ClosedError,
    Connection,
    HttpAnswer,
    ProtocolError,
    TooLargeError,
    TruncatedError,
)

T = TypeVar("T")
FORMS = ("length", "chunked", "until closed")


class SlowTime:
    """What a connection needs of an event loop, with a time that passes only in ``advance``."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = 0.0
        self._timers: list[asyncio.TimerHandle] = []

    def create_future(self) -> "asyncio.Future[HttpAnswer]":
        return self._loop.create_future()

    def time(self) -> float:
        return self._now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(self._now + seconds, callback, (), self._loop)
        self._timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        self._now += seconds
        due = [timer for timer in self._timers if timer.when() <= self._now]
        for timer in due:
            self._timers.remove(timer)
            if not timer.cancelled():
                timer._run()


class Wire(asyncio.Transport):
    """A transport that keeps what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.unsent = 0
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted = True


def opened() -> tuple[Connection, Wire]:
    connection, wire = Connection(asyncio.get_running_loop()), Wire()
    connection.connection_made(wire)
    return connection, wire


def ask(
    connection: Connection, method: str = "GET", *, seconds: float = 5.0, total: float = 5.0
) -> asyncio.Task[HttpAnswer]:
    return asyncio.ensure_future(
        connection.exchange(
            method,
            "http://here/",
            b"request",
            max_bytes=1_000,
            read_timeout=seconds,
            total_timeout=total,
        )
    )


async def answered(
    pieces: list[bytes], method: str = "GET", *, closes: bool = False
) -> tuple[HttpAnswer, Connection]:
    """Return the answer to a request for which these pieces arrive."""
    connection, _ = opened()
    task = ask(connection, method)
    await asyncio.sleep(0)
    for piece in pieces:
        connection.data_received(piece)
    if closes:
        connection.connection_lost(None)
    return await task, connection


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await work()

    return asyncio.run(main())


def encoded(form: str, body: bytes, cut: int) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nX-Twice: a\r\nx-twice: b\r\n"
    match form:
        case "length":
            return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        case "chunked":
            parts = [part for part in (body[:cut], body[cut:]) if part]
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
            return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        case _:
            return head + b"\r\n" + body


@settings(deadline=None)
@given(st.sampled_from(FORMS), st.binary(max_size=900), st.data())
def test_an_answer_is_read_however_it_is_cut(form: str, body: bytes, data: st.DataObject) -> None:
    text = encoded(form, body, data.draw(st.integers(0, len(body))))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(text) - 1), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True) if a != b]
    answer, connection = run(lambda: answered(pieces, closes=form == "until closed"))
    assert (answer.status, answer.body, answer.headers["x-twice"]) == (200, body, "a, b")
    assert connection.is_reusable == (form != "until closed")


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_anything_else_ends_the_connection(text: bytes) -> None:
    async def work() -> None:
        connection, _ = opened()
        task = ask(connection)
        await asyncio.sleep(0)
        connection.data_received(text)
        connection.connection_lost(None)
        with pytest.raises((ClosedError, ProtocolError)):
            await task
        assert not connection.is_reusable

    run(work)


def test_a_head_request_has_no_body_and_the_next_answer_is_its_own() -> None:
    async def work() -> None:
        connection, _ = opened()
        head = ask(connection, "HEAD")
        await asyncio.sleep(0)
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")
        assert ((await head).body, (await head).headers["content-length"]) == (b"", "7")
        get = ask(connection)
        await asyncio.sleep(0)
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab")
        assert (await get).body == b"ab"
        assert connection.is_reusable

    run(work)


def test_what_comes_before_the_answer_is_passed_over() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    text = early + b"HTTP/1.1 204 No Content\r\n\r\n"
    answer, connection = run(lambda: answered([text]))
    assert (answer.status, answer.body, "link" in answer.headers) == (204, b"", False)
    assert connection.is_reusable


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n",
    ],
    ids=["closes", "old", "more than an answer"],
)
def test_a_connection_that_is_not_used_again(text: bytes) -> None:
    answer, connection = run(lambda: answered([text]))
    assert answer.body == b"ab"
    assert not connection.is_reusable


def test_an_answer_to_nothing_closes_the_connection() -> None:
    async def work() -> None:
        connection, wire = opened()
        connection.data_received(b"HTTP/1.1 200 OK\r\n")
        assert wire.aborted
        assert not connection.is_reusable

    run(work)


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_001,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1_001,
    ],
    ids=FORMS,
)
def test_a_body_that_is_too_large(text: bytes) -> None:
    with pytest.raises(TooLargeError):
        run(lambda: answered([text], closes=True))


def test_of_a_large_error_answer_the_beginning_is_kept() -> None:
    head = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 9000000\r\n\r\n"
    answer, connection = run(lambda: answered([head, *[b"x" * 250_000] * 5]))
    assert (answer.status, len(answer.body)) == (503, 1_250_000)
    assert not connection.is_reusable


def test_headers_without_end() -> None:
    with pytest.raises(ProtocolError):
        run(lambda: answered([b"HTTP/1.1 200 OK\r\n", *[b"A: " + b"x" * 9_000 + b"\r\n"] * 30]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", 5),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", None),
    ],
    ids=["length", "chunked"],
)
def test_a_body_that_is_cut_short(text: bytes, expected: int | None) -> None:
    with pytest.raises(TruncatedError) as caught:
        run(lambda: answered([text], closes=True))
    assert (caught.value.actual_bytes, caught.value.expected_bytes) == (2, expected)


def test_a_request_that_is_still_being_sent_does_not_wait_for_an_answer() -> None:
    async def work() -> None:
        connection, wire = opened()
        connection._loop = time = SlowTime()
        wire.unsent = 100
        task = ask(connection, seconds=2, total=100)
        await asyncio.sleep(0)
        for left in (80, 60, 40, 20, 0):
            time.advance(1)
            wire.unsent = left
        time.advance(1)
        assert not wire.aborted
        time.advance(1.9)
        assert not wire.aborted
        time.advance(0.1)
        with pytest.raises(TimeoutError):
            await task
        assert wire.aborted

    run(work)


def test_time_before_a_request_does_not_count_against_its_answer() -> None:
    async def work() -> None:
        connection, wire = opened()
        connection._loop = time = SlowTime()
        for idle_seconds in (2.5, 1.5):
            task = ask(connection, seconds=2, total=100)
            await asyncio.sleep(0)
            connection.data_received(b"HTTP/1.1 204 No Content\r\n\r\n")
            assert (await task).status == 204
            time.advance(idle_seconds)
        task = ask(connection, seconds=2, total=100)
        await asyncio.sleep(0)
        time.advance(1.9)
        assert not wire.aborted
        time.advance(0.1)
        with pytest.raises(TimeoutError):
            await task
        assert wire.aborted

    run(work)


def test_a_closed_connection_leaves_no_timer() -> None:
    async def work() -> None:
        connection, _ = opened()
        connection._loop = time = SlowTime()
        task = ask(connection)
        await asyncio.sleep(0)
        connection.connection_lost(None)
        with pytest.raises(ClosedError):
            await task
        assert all(timer.cancelled() for timer in time._timers)

    run(work)
