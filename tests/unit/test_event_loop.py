"""A coroutine test that leaves a connection open fails; it doesn't hang."""

import asyncio
import socket

import pytest
from fakes.event_loop import run


async def _leave_open(server: socket.socket) -> asyncio.Transport:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, *server.getsockname())
    return transport


def test_a_test_that_fails_with_an_open_connection_reports_its_own_error() -> None:
    async def fail() -> None:
        kept = await _leave_open(server)
        raise AssertionError(kept.is_closing())

    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(AssertionError):
        run(fail())


def test_an_open_connection_is_an_error() -> None:
    kept = []

    async def leave() -> None:
        kept.append(await _leave_open(server))

    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(ResourceWarning, match="unclosed"),
    ):
        run(leave())
