"""Many calls at once: one thread, each told once, and connections that are used again."""

import os
import threading
from queue import SimpleQueue
from threading import Event

import pytest
from aws_calls.conftest import RECEIVE, Make
from aws_calls.server import Reply, Server
from botocore.exceptions import ConnectionClosedError, HTTPClientError, NoCredentialsError
from fakes.waiting import eventually
from retinue_aws import Answer, JsonCalls

Told = SimpleQueue[Answer | Exception]


def threads() -> int:
    return sum(thread.name == "aws-calls" for thread in threading.enumerate())


def test_calls_under_way_share_a_thread(server: Server, make: Make) -> None:
    calls, told, gate, before = JsonCalls(make(server.url)), Told(), Event(), threads()
    server.replies.extend(Reply(before=lambda: gate.wait(10)) for _ in range(30))
    for _ in range(30):
        calls.send("ReceiveMessage", RECEIVE, told.put)
    eventually(lambda: len(server.requests) == 30)
    assert threads() == before + 1
    assert told.empty()
    gate.set()
    assert [type(told.get(timeout=10)) for _ in range(30)] == [Answer] * 30
    calls.close()
    eventually(lambda: threads() == before)


def test_a_close_waits_for_what_is_under_way_and_what_comes_later_starts_anew(
    server: Server, make: Make
) -> None:
    calls, told, gate, before = JsonCalls(make(server.url)), Told(), Event(), threads()
    server.replies.append(Reply(before=lambda: gate.wait(10)))
    calls.send("ReceiveMessage", RECEIVE, told.put)
    eventually(lambda: server.requests)
    calls.close()
    gate.set()
    assert isinstance(told.get(timeout=10), Answer)
    eventually(lambda: threads() == before)
    calls.send("ReceiveMessage", RECEIVE, told.put)
    assert isinstance(told.get(timeout=10), Answer)
    calls.close()


def test_who_is_told_may_send_the_next(server: Server, make: Make) -> None:
    calls, told = JsonCalls(make(server.url)), Told()

    def again(answer: Answer | Exception) -> None:
        told.put(answer)
        if len(server.requests) < 20:
            calls.send("ReceiveMessage", RECEIVE, again)

    before = threading.active_count()
    calls.send("ReceiveMessage", RECEIVE, again)
    for _ in range(20):
        assert isinstance(told.get(timeout=10), Answer)
    # One of ours; and the server has a thread for each connection, of which there was one.
    assert threading.active_count() <= before + 2
    calls.close()


def test_who_raises_when_told_stops_nobody(
    server: Server, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    calls, told = JsonCalls(make(server.url)), Told()

    def fail(answer: Answer | Exception) -> None:
        raise SystemExit("nobody listens")

    calls.send("ReceiveMessage", RECEIVE, fail)
    calls.send("ReceiveMessage", RECEIVE, told.put)
    assert isinstance(told.get(timeout=10), Answer)
    eventually(lambda: "nobody listens" in caplog.text)
    calls.close()


def test_one_that_fails_does_not_touch_the_others(server: Server, make: Make) -> None:
    calls, told = JsonCalls(make(server.url)), Told()
    server.replies.extend([Reply(), Reply(None), Reply()])
    for _ in range(3):
        calls.send("ReceiveMessage", RECEIVE, told.put)
    kinds = sorted(type(told.get(timeout=10)).__name__ for _ in range(3))
    assert kinds == ["Answer", "Answer", ConnectionClosedError.__name__]
    calls.close()


def test_a_call_is_one_request_even_on_a_connection_that_is_used_again(
    server: Server, make: Make
) -> None:
    calls, told = JsonCalls(make(server.url)), Told()
    calls.send("ReceiveMessage", RECEIVE, told.put)
    assert isinstance(told.get(timeout=10), Answer)
    server.replies.append(Reply(None))
    calls.send("ReceiveMessage", RECEIVE, told.put)
    assert isinstance(told.get(timeout=10), ConnectionClosedError)
    assert len(server.requests) == 2
    calls.close()


def test_what_cannot_be_sent_is_raised_and_told_to_nobody(server: Server, make: Make) -> None:
    calls, told = JsonCalls(make(server.url, credentials=None)), Told()
    with pytest.raises(NoCredentialsError):
        calls.send("ReceiveMessage", RECEIVE, told.put)
    assert told.empty()
    assert server.requests == []


def test_a_loop_that_breaks_tells_everybody_and_begins_anew(
    server: Server, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, told, gate = JsonCalls(make(server.url)), Told(), Event()
    server.replies.append(Reply(before=lambda: gate.wait(10)))
    calls.send("ReceiveMessage", RECEIVE, told.put)
    eventually(lambda: server.requests)
    with monkeypatch.context() as broken:
        broken.setattr("retinue_aws.loop._Round.add", lambda *_: os.close(-1))
        calls.send("ReceiveMessage", RECEIVE, told.put)
        for _ in range(2):
            error = told.get(timeout=10)
            assert isinstance(error, HTTPClientError)
            assert "Bad file descriptor" in str(error)
    gate.set()
    calls.send("ReceiveMessage", RECEIVE, told.put)
    assert isinstance(told.get(timeout=10), Answer)
    calls.close()
