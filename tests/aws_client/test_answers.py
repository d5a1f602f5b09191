"""Errors are those of botocore, and calls are repeated when botocore would repeat them."""

import asyncio
import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from aws_client.conftest import RECEIVE, Make, idle_connections, receive, using
from aws_client.server import Reply, Server, serving
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    InvalidRegionError,
    ReadTimeoutError,
)
from fakes.examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retinue_aws import (
    AwsClient,
    JsonAnswer,
    TruncatedBodyError,
    UnreadableAnswerError,
    new_session,
)

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
    "a redirection": Reply(307, b"{}", {"Location": "http://127.0.0.1:9/"}),
}


def raised(call: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("reply", REFUSALS.values(), ids=REFUSALS.keys())
def test_an_error_answer_is_botocores(server: Server, make: Make, reply: Reply) -> None:
    client = make(server.url)
    server.default = reply
    theirs = raised(lambda: client.receive_message(**RECEIVE))
    ours = raised(lambda: receive(client))
    assert type(ours) is type(theirs)
    assert str(ours) == str(theirs).replace(" (reached max retries: 0)", "")
    assert ours.response["Error"] == theirs.response["Error"]
    metadata, expected = (error.response["ResponseMetadata"] for error in (ours, theirs))
    assert metadata["HTTPStatusCode"] == expected["HTTPStatusCode"]
    assert metadata["HTTPHeaders"].get("retry-after") == expected["HTTPHeaders"].get("retry-after")


NESTED = [b"[" * 1_000 + b"]" * 1_000, b'{"a":' * 100_000]
HOSTILE = {
    "a list": b"[]",
    "null": b"null",
    "a string": b'"no"',
    "a number": b"7",
    "a type that is a number": b'{"__type": 5}',
    "a type that is a list": b'{"__type": ["a"]}',
    "a message that is an object": b'{"__type": "A", "message": {"a": 1}}',
    "a lone surrogate": b'{"__type": "A", "message": "\\ud800"}',
    "invalid UTF-8": b'{"__type": "\xff\xfe"}',
    "compressed": gzip.compress(b'{"__type": "A"}', mtime=0),
    "a page in Latin-1": "<html>Dienst nicht verfügbar</html>".encode("latin-1"),
    "nested": NESTED[0],
    "nested deeper": NESTED[1],
    "cut short": b'{"__type": "Thr',
    "a code that is an element": b"<Error><Code><a/></Code><Message><b/></Message></Error>",
    "many codes": b"<Error><Code>a</Code><Code>b</Code></Error>",
    "huge": b"x" * 3_000_000,
}


STATUSES = [300, 303, 304, 400, 403, 404, 413, 429, 499, 500, 502, 503, 599]


@dataclass(frozen=True)
class Path:
    """A way to call a service.

    Attributes:
        service: The service.
        blocking: Whether boto3 calls; otherwise ``AwsClient`` does.
    """

    service: str
    blocking: bool

    def ask(self, client: Any) -> Any:
        """Make one call, and return what came."""
        if self.blocking:
            match self.service:
                case "s3":
                    return client.get_object(Bucket="bucket", Key="key")["Body"].read()
                case "rekognition":
                    return client.detect_labels(**IMAGE)
            return client.receive_message(**RECEIVE)

        async def ask(calls: AwsClient) -> Any:
            match self.service:
                case "s3":
                    return await calls.get_object("bucket", "key", max_bytes=10)
                case "rekognition":
                    return await calls.call("DetectLabels", IMAGE)
            return await calls.call("ReceiveMessage", RECEIVE)

        return using(client, ask)


IMAGE = {"Image": {"S3Object": {"Bucket": "bucket", "Name": "key"}}}
PATHS = [
    Path(service, blocking)
    for service in ("sqs", "rekognition", "s3")
    for blocking in (False, True)
]


@pytest.fixture(params=PATHS, ids=lambda path: f"{path.service}-{path.blocking * 'blocking'}")
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def client_of(url: str, service: str) -> Any:
    """Return a client as the worker makes them."""
    session: Any = new_session("eu-west-1")
    session.set_credentials("AKIDKEYS", "secret")
    once = Config(retries={"total_max_attempts": 1, "mode": "standard"})
    return session.create_client(service, endpoint_url=url, config=once)


def hold(path: Path, client: Any, server: Server, status: int) -> None:
    """Check that an error answer is an error with its status, after one request."""
    server.requests.clear()
    error = raised(lambda: path.ask(client))
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert error.response["Error"]["Code"]
    assert isinstance(error.response["Error"]["Code"], str)
    str(error).encode()
    assert len(server.requests) == 1


def test_every_error_answer_is_an_error_with_its_status(server: Server, path: Path) -> None:
    client = client_of(server.url, path.service)
    for status in STATUSES:
        for body in HOSTILE.values():
            server.default = Reply(status, body)
            hold(path, client, server, status)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("headers", [{}, {"x-amz-bucket-region": "no region!"}])
def test_a_redirection_of_everything_is_an_error_with_its_status(
    server: Server, path: Path, status: int, headers: dict[str, str]
) -> None:
    server.default = Reply(status, b"[]", {"Location": server.url, **headers})
    if path.blocking and headers and path.service == "s3" and status != 308:
        with pytest.raises(InvalidRegionError):
            path.ask(client_of(server.url, path.service))
        return
    error = raised(lambda: path.ask(client_of(server.url, path.service)))
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert len(server.requests) <= 2


def test_a_code_is_never_empty(server: Server, path: Path) -> None:
    server.default = Reply(503, b"{}")
    error = raised(lambda: path.ask(client_of(server.url, path.service)))
    assert error.response["Error"]["Code"] == "503"


def test_any_error_body_is_an_error_with_its_status(path: Path) -> None:
    with serving() as server:
        client = client_of(server.url, path.service)

        @settings(max_examples=examples(0.6), suppress_health_check=list(HealthCheck))
        @given(
            st.binary(max_size=300)
            | st.recursive(
                st.none() | st.booleans() | st.floats() | st.text(),
                lambda inner: (
                    st.lists(inner)
                    | st.dictionaries(
                        st.sampled_from(["__type", "code", "message", "Error"]), inner
                    )
                ),
            ).map(lambda value: json.dumps(value).encode())
            | st.lists(st.sampled_from(["<", "Error>", "/", "<Code>", "a", "&", ">", "<?xml"])).map(
                lambda parts: "".join(parts).encode()
            ),
            st.sampled_from(STATUSES),
            st.dictionaries(
                st.sampled_from(
                    ["x-amzn-errortype", "x-amzn-query-error", "Content-Encoding", "Content-Type"]
                ),
                st.sampled_from(["", ";", "gzip", "a;b;c", ":", "\xff", "text/html"]),
            ),
        )
        def any_answer(body: bytes, status: int, headers: dict[str, str]) -> None:
            server.default = Reply(status, body, headers)
            hold(path, client, server, status)

        any_answer()


NO_ANSWERS = [b"<html>", b"[1]", b'{"Messages": [', b"\xff\xfe", b"null", b"7", b'""', *NESTED]


@pytest.mark.parametrize("service", ["sqs", "rekognition"])
def test_a_success_of_boto3_that_is_not_an_object_is_an_error(server: Server, service: str) -> None:
    client = client_of(server.url, service)
    for body in NO_ANSWERS:
        server.default = Reply(body=body)
        with pytest.raises(UnreadableAnswerError, match="200"):
            Path(service, True).ask(client)


@pytest.mark.parametrize(
    "body",
    [b"<html/>", b"<!DOCTYPE html><p/>", b"<ListBucket", b"{}", b"\xff", b"<a>" * 100_000],
    ids=lambda body: body[:9],
)
def test_a_success_of_s3_that_is_no_answer_is_an_error(server: Server, body: bytes) -> None:
    client = client_of(server.url, "s3")
    server.default = Reply(body=body)
    for ask in (
        lambda: client.get_object_tagging(Bucket="bucket", Key="key"),
        lambda: client.list_objects_v2(Bucket="bucket"),
    ):
        # botocore itself turns what isn't XML into status 500.
        with pytest.raises((UnreadableAnswerError, ClientError), match=r"200|500"):
            ask()


def test_a_success_with_a_header_that_cannot_be_read_is_an_error(server: Server) -> None:
    server.default = Reply(headers={"Last-Modified": "some day"})
    with pytest.raises(UnreadableAnswerError, match="200"):
        client_of(server.url, "s3").head_object(Bucket="bucket", Key="key")


@pytest.mark.parametrize("body", NO_ANSWERS, ids=lambda body: body[:9])
def test_a_success_that_is_not_an_object_is_an_error(
    server: Server, make: Make, body: bytes
) -> None:
    server.default = Reply(body=body)
    with pytest.raises(UnreadableAnswerError, match="200"):
        receive(make(server.url))


def test_an_answer_is_kept_whole(server: Server, make: Make) -> None:
    body = {"Messages": [], "FieldOfNextYear": {"a": [1]}}
    server.replies.append(Reply(body=json.dumps(body).encode(), headers={"x-amzn-RequestId": "r1"}))
    assert receive(make(server.url)) == JsonAnswer(body, "r1")


def test_a_large_answer_and_a_large_request(server: Server, make: Make) -> None:
    server.default = Reply(body=json.dumps({"a": "x" * 3_000_000}).encode())
    image = {"Image": {"Bytes": b"x" * 3_000_000}}
    answer = using(make(server.url, "rekognition"), lambda calls: calls.call("DetectLabels", image))
    assert len(answer.body["a"]) == 3_000_000
    assert len(server.requests[0].body) > 4_000_000


def test_a_body_that_is_cut_short_is_an_error(server: Server, make: Make) -> None:
    server.default = Reply(body=b"{}", length=1_000)
    with pytest.raises(TruncatedBodyError, match="2 bytes read of 1000"):
        receive(make(server.url))


def test_a_single_attempt_is_one_request_even_on_a_used_connection(
    server: Server, make: Make
) -> None:
    async def ask(calls: AwsClient) -> None:
        await calls.call("ReceiveMessage", RECEIVE)
        server.replies.append(Reply(None))
        with pytest.raises(ConnectionClosedError):
            await calls.call("ReceiveMessage", RECEIVE)

    using(make(server.url), ask)
    assert (len(server.requests), server.connections) == (2, 1)


def test_a_connection_that_was_closed_in_the_meantime_is_not_used(
    server: Server, make: Make
) -> None:
    async def ask(calls: AwsClient) -> None:
        server.replies.append(Reply(last=True))
        await calls.call("ReceiveMessage", RECEIVE)
        while any(one.is_reusable for one in idle_connections(calls)):
            await asyncio.sleep(0.01)
        await calls.call("ReceiveMessage", RECEIVE)

    using(make(server.url), ask)
    assert (len(server.requests), server.connections) == (2, 2)


def test_connections_are_used_again_and_calls_are_made_side_by_side(
    server: Server, make: Make
) -> None:
    gate = threading.Barrier(30)

    async def ask(calls: AwsClient) -> None:
        for _ in range(20):
            await calls.call("ReceiveMessage", RECEIVE)
        assert server.connections == 1
        server.default = Reply(before=lambda: gate.wait(10))
        await asyncio.gather(*(calls.call("ReceiveMessage", RECEIVE) for _ in range(30)))

    using(make(server.url), ask)
    assert server.connections == 30


@pytest.mark.parametrize("used_before", [False, True])
def test_an_answer_that_takes_too_long(server: Server, make: Make, used_before: bool) -> None:
    released = threading.Event()

    async def ask(calls: AwsClient) -> None:
        if used_before:
            await calls.call("ReceiveMessage", RECEIVE)
        server.default = Reply(before=lambda: released.wait(10))
        with pytest.raises(ReadTimeoutError):
            await calls.call("ReceiveMessage", RECEIVE)

    using(make(server.url, connect_timeout=5, read_timeout=0.2), ask)
    released.set()


def test_an_answer_that_drips_is_bounded(server: Server, make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while not stop.wait(0.05):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ReadTimeoutError):
            receive(make(url, connect_timeout=0.3, read_timeout=0.3))
        stop.set()
        thread.join()


@pytest.fixture
def mute() -> Iterator[str]:
    """Yield an address that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


def test_a_connection_that_is_not_established(make: Make, mute: str) -> None:
    with pytest.raises(ConnectTimeoutError):
        receive(make(mute, connect_timeout=0.2, read_timeout=30))


def test_an_address_without_a_server(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(EndpointConnectionError, match=str(port)):
        receive(make(f"http://127.0.0.1:{port}"))


def test_an_answer_that_is_not_http(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ConnectionClosedError):
            receive(make(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        thread.join()


def test_a_call_that_is_cancelled_closes_its_connection_and_harms_no_other(
    server: Server, make: Make
) -> None:
    released = threading.Event()

    async def ask(calls: AwsClient) -> None:
        await calls.call("ReceiveMessage", RECEIVE)
        server.replies.append(Reply(before=lambda: released.wait(10)))
        call = asyncio.create_task(calls.call("ReceiveMessage", RECEIVE))
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        released.set()
        server.default = Reply(body=b'{"after": 1}')
        assert (await calls.call("ReceiveMessage", RECEIVE)).body == {"after": 1}

    using(make(server.url), ask)
    assert server.connections == 2


def test_waiting_for_another_attempt_can_be_cancelled(
    server: Server, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(calls: AwsClient) -> float:
        async def delay(*_: Any) -> float:
            return 3_600

        monkeypatch.setattr(calls, "_delay", delay)
        call = asyncio.create_task(calls.call("ReceiveMessage", RECEIVE))
        while not server.requests:
            await asyncio.sleep(0.01)
        started = time.monotonic()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return time.monotonic() - started

    server.default = Reply(503)
    assert using(make(server.url), ask) < 5


def test_an_exhausted_retry_quota_does_not_block_the_loop(
    server: Server, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: float) -> None:
        raise AssertionError("botocore slept")

    monkeypatch.setattr("botocore.retries.standard.time.sleep", refuse)
    monkeypatch.setattr(
        "botocore.retries.standard.RetryHandler.__init__.__defaults__", (None, refuse)
    )
    server.default = Reply(503)
    client = make(server.url, retries={"total_max_attempts": 2, "mode": "standard"})

    async def ask(calls: AwsClient) -> None:
        async def no_delay(_: float) -> None:
            return

        with monkeypatch.context() as patched:
            patched.setattr("retinue_aws.client.asyncio.sleep", no_delay)
            for _ in range(60):
                with pytest.raises(ClientError):
                    await calls.call("ReceiveMessage", RECEIVE)
        exhausted = len(server.requests)
        assert exhausted < 120  # the quota forbade the last retries
        server.default = Reply()
        for _ in range(40):  # each success gives a little back
            await calls.call("ReceiveMessage", RECEIVE)
        server.replies.append(Reply(503))
        await calls.call("ReceiveMessage", RECEIVE)

    using(client, ask)


def test_timeouts_can_be_switched_off(server: Server, make: Make) -> None:
    client = make(server.url, connect_timeout=None, read_timeout=None)
    assert receive(client) == JsonAnswer({}, "")
