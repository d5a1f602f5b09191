"""Errors are those that botocore raises, and calls are repeated when botocore would repeat them."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aws_calls.conftest import QUEUE, RECEIVE, Ask, Make
from aws_calls.server import Reply, Server, serving
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from retinue_aws import JsonCalls

REFUSALS = {
    "a modelled error": Reply(
        400, b'{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no queue"}'
    ),
    "a code of the older protocol": Reply(
        400,
        b'{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no queue"}',
        {"x-amzn-query-error": "AWS.SimpleQueueService.NonExistentQueue;Sender"},
    ),
    "a code of no model": Reply(403, b'{"__type": "ExpiredTokenException", "Message": "old"}'),
    "the code in a header": Reply(400, b"{}", {"x-amzn-errortype": "ThrottlingException:http"}),
    "a proxy's page": Reply(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}),
    "nothing at all": Reply(413, b""),
    "a wait": Reply(429, b'{"__type": "TooManyRequestsException"}', {"Retry-After": "7"}),
}


def raised(call: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("reply", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_is_botocores(server: Server, make: Make, ask: Ask, reply: Reply) -> None:
    client = make(server.url)
    server.replies.extend([reply, reply])
    theirs = raised(lambda: client.receive_message(**RECEIVE))
    ours = raised(lambda: ask(JsonCalls(client)))
    assert type(ours) is type(theirs)
    assert ours.response["Error"] == theirs.response["Error"]
    told, said = (error.response["ResponseMetadata"] for error in (ours, theirs))
    assert told["HTTPStatusCode"] == said["HTTPStatusCode"]
    assert told["HTTPHeaders"].get("retry-after") == said["HTTPHeaders"].get("retry-after")


def test_an_answer_is_kept_whole(server: Server, make: Make, ask: Ask) -> None:
    body = {"Messages": [], "FieldOfNextYear": {"a": [1]}}
    server.replies.append(Reply(body=json.dumps(body).encode(), headers={"x-amzn-RequestId": "r1"}))
    answer = ask(JsonCalls(make(server.url)))
    assert answer.body == body
    assert answer.request_id == "r1"


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'{"Messages": ['])
def test_what_is_no_answer_is_no_success(server: Server, make: Make, ask: Ask, body: bytes) -> None:
    server.replies.append(Reply(body=body))
    with pytest.raises(ResponseParserError):
        ask(JsonCalls(make(server.url)))


@pytest.mark.parametrize(
    ("reply", "requests"),
    [
        (Reply(None), 2),
        (Reply(503), 2),
        (Reply(400, b'{"__type": "ThrottlingException"}'), 2),
        (Reply(400, b'{"__type": "InvalidParameterException"}'), 1),
        (Reply(403, b'{"__type": "AccessDeniedException"}'), 1),
    ],
)
def test_calls_are_repeated_as_the_client_is_set(
    server: Server, make: Make, reply: Reply, requests: int
) -> None:
    calls = JsonCalls(make(server.url, retries={"total_max_attempts": 2, "mode": "standard"}))
    server.replies.append(reply)
    try:
        calls.call("ReceiveMessage", RECEIVE)
    except ClientError:
        assert requests == 1
    assert len(server.requests) == requests


def test_a_single_attempt_is_one_request_even_on_a_connection_that_is_used_again(
    server: Server, make: Make, ask: Ask
) -> None:
    calls = JsonCalls(make(server.url))
    ask(calls)
    server.replies.append(Reply(None))
    with pytest.raises(ConnectionClosedError):
        ask(calls)
    assert len(server.requests) == 2


def test_connections_are_used_again(server: Server, make: Make) -> None:
    before = threading.active_count()
    calls = JsonCalls(make(server.url))
    for _ in range(20):
        calls.call("ReceiveMessage", RECEIVE)
    assert threading.active_count() <= before + 1  # the server has a thread for each connection
    calls.close()


def test_an_answer_that_takes_too_long(server: Server, make: Make, ask: Ask) -> None:
    calls = JsonCalls(make(server.url, connect_timeout=0.1, read_timeout=0.2))
    released = threading.Event()
    server.replies.append(Reply(before=lambda: released.wait(10)))
    with pytest.raises(ReadTimeoutError):
        ask(calls)
    released.set()


@pytest.fixture
def mute() -> Iterator[str]:
    """An address where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


def test_a_connection_that_does_not_come_about(make: Make, ask: Ask, mute: str) -> None:
    calls = JsonCalls(make(mute, connect_timeout=0.2, read_timeout=30))
    with pytest.raises(ConnectTimeoutError):
        ask(calls)


def test_nobody_there(make: Make, ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(EndpointConnectionError, match=str(port)):
        ask(JsonCalls(make(f"http://127.0.0.1:{port}")))


def test_a_proxy_is_used_and_its_exceptions_too(
    server: Server, make: Make, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        ask(JsonCalls(make("http://sqs.example")))
        assert [one.target for one in proxy.requests] == ["http://sqs.example/"]
        monkeypatch.setenv("NO_PROXY", "localhost")
        ask(JsonCalls(make(server.url)))
        assert (len(proxy.requests), len(server.requests)) == (1, 1)


def test_https_goes_through_a_proxy_by_a_tunnel(
    make: Make, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(ProxyConnectionError):  # which this proxy does not dig
            ask(JsonCalls(make("https://sqs.example")))
        assert [(one.method, one.target) for one in proxy.requests] == [
            ("CONNECT", "sqs.example:443")
        ]


def test_a_proxy_that_is_away(make: Make, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:hush@127.0.0.1:9")
    with pytest.raises(ProxyConnectionError) as caught:
        ask(JsonCalls(make("http://sqs.example")))
    assert "hush" not in str(caught.value)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with serving(context) as told:
        yield told


def test_a_stranger_is_not_trusted(secure: Server, make: Make, ask: Ask) -> None:
    with pytest.raises(SSLError):
        ask(JsonCalls(make(secure.url)))
    assert secure.requests == []


def test_a_bundle_of_your_own_is_trusted(
    secure: Server,
    authority: trustme.CA,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    bundle = tmp_path / "bundle.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    JsonCalls(make(secure.url)).call("ReceiveMessage", {"QueueUrl": QUEUE})
    assert len(secure.requests) == 1


def test_a_name_that_is_not_in_the_certificate_is_not_trusted(
    secure: Server, authority: trustme.CA, make: Make, ask: Ask, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    authority.cert_pem.write_to_path(str(bundle))
    calls = JsonCalls(make(secure.url.replace("localhost", "127.0.0.1")), ca_bundle=str(bundle))
    with pytest.raises(SSLError):
        ask(calls)
