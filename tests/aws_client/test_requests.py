"""Requests are those of botocore: the same address, headers, body and signature."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from aws_client.conftest import QUEUE, RECEIVE, Make, receive, using
from aws_client.server import Request, Server
from botocore.auth import AUTH_TYPE_MAPS, S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import (
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
)
from retinue_aws import AwsClient
from retinue_aws.http import header_lines
from retinue_aws.operation import prepare

OF_ONE_CALL = {"authorization", "x-amz-date", "amz-sdk-invocation-id", "amz-sdk-request"}
KEYS = Credentials("AKIDKEYS", "secret")


def is_signed(request: Request, url: str, credentials: Credentials) -> bool:
    """Return whether AWS would accept a request's signature."""
    authorization = request.headers["authorization"]
    scope, signed, signature = authorization.removeprefix("AWS4-HMAC-SHA256 ").split(", ")
    _, _, region, service, _ = scope.removeprefix("Credential=").split("/")
    names = signed.removeprefix("SignedHeaders=").split(";")
    again = AWSRequest(
        request.method,
        url + request.target,
        {name: request.headers[name] for name in names},
        request.body,
    )
    again.context["timestamp"] = request.headers["x-amz-date"]
    signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(credentials, service, region)
    text = signer.string_to_sign(again, signer.canonical_request(again))
    return signature == f"Signature={signer.signature(text, again)}"


def test_a_request_is_what_botocore_sends(server: Server, make: Make) -> None:
    client = make(server.url)
    client.receive_message(**RECEIVE)
    receive(client)
    theirs, ours = server.requests
    assert (ours.method, ours.target) == (theirs.method, theirs.target)
    assert json.loads(ours.body) == json.loads(theirs.body)
    left_out = {"amz-sdk-invocation-id", "amz-sdk-request", "content-length"}
    assert ours.headers.keys() == theirs.headers.keys() - left_out | {"content-length"}
    for name in theirs.headers.keys() - left_out - OF_ONE_CALL:
        assert ours.headers[name] == theirs.headers[name], name
    assert is_signed(ours, server.url, KEYS)
    assert not is_signed(ours, server.url, Credentials("AKIDKEYS", "another"))


def test_each_call_has_its_own_body_and_signature(server: Server, make: Make) -> None:
    async def ask(calls: AwsClient) -> None:
        for number in range(3):
            parameters = {"QueueUrl": QUEUE, "MaxNumberOfMessages": number + 1}
            await calls.call("ReceiveMessage", parameters)
            await calls.call("DeleteMessage", {"QueueUrl": QUEUE, "ReceiptHandle": "h"})

    using(make(server.url), ask)
    received = server.requests[::2]
    assert [json.loads(one.body)["MaxNumberOfMessages"] for one in received] == [1, 2, 3]
    for request in server.requests:
        assert is_signed(request, server.url, KEYS)
    assert {one.headers["x-amz-target"] for one in server.requests} == {
        "AmazonSQS.ReceiveMessage",
        "AmazonSQS.DeleteMessage",
    }


def test_where_another_signer_signs_it_signs_each_call(
    server: Server, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(SigV4Auth):
        def signature(self, string_to_sign: str, request: AWSRequest) -> str:
            return "other" + super().signature(string_to_sign, request)[5:]

    monkeypatch.setitem(AUTH_TYPE_MAPS, "v4", Other)

    async def ask(calls: AwsClient) -> None:
        for number in range(2):
            await calls.call("ReceiveMessage", {"QueueUrl": QUEUE, "WaitTimeSeconds": number})

    using(make(server.url), ask)
    signatures = [one.headers["authorization"].rpartition("=")[2] for one in server.requests]
    assert all(signature.startswith("other") for signature in signatures)
    assert signatures[0] != signatures[1]


def test_a_signer_that_keeps_no_notes_is_followed(
    server: Server, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mute(SigV4Auth):  # as botocore's signers that use awscrt
        def add_auth(self, request: AWSRequest) -> None:
            super().add_auth(request)
            request.context.clear()

    monkeypatch.setitem(AUTH_TYPE_MAPS, "v4", Mute)
    receive(make(server.url))
    (request,) = server.requests
    assert is_signed(request, server.url, KEYS)


def test_preparing_sends_nothing(server: Server, make: Make) -> None:
    prepare(make(server.url), "ReceiveMessage", RECEIVE)
    assert server.requests == []


def test_bytes_go_as_botocore_sends_them(server: Server, make: Make) -> None:
    client = make(server.url, "rekognition")
    parameters = {"Image": {"Bytes": bytes(range(256))}}
    client.detect_labels(**parameters)
    using(client, lambda calls: calls.call("DetectLabels", parameters))
    theirs, ours = server.requests
    assert json.loads(ours.body) == json.loads(theirs.body)


class Role:
    """Temporary credentials, whose renewals are counted."""

    def __init__(self, renew: Callable[[], None] = lambda: None) -> None:
        self.issued = 0
        self.threads: set[int] = set()
        self._renew = renew
        self.credentials = RefreshableCredentials.create_from_metadata(
            self.issue(), self.renew, "test"
        )

    def issue(self) -> dict[str, str]:
        self.issued += 1
        return {
            "access_key": f"AKIDROLE{self.issued}",
            "secret_key": f"secret{self.issued}",
            "token": f"token{self.issued}",
            "expiry_time": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        }

    def renew(self) -> dict[str, str]:
        self.threads.add(threading.get_ident())
        self._renew()
        return self.issue()

    def expire_in(self, seconds: float) -> None:
        self.credentials._expiry_time = datetime.now(UTC) + timedelta(seconds=seconds)


def test_expired_credentials_are_renewed_once_and_not_on_the_loops_thread(
    server: Server, make: Make
) -> None:
    role = Role()

    async def ask(calls: AwsClient) -> None:
        await calls.call("ReceiveMessage", RECEIVE)
        role.expire_in(1)
        await asyncio.gather(*(calls.call("ReceiveMessage", RECEIVE) for _ in range(20)))

    using(make(server.url, credentials=role.credentials), ask)
    assert role.issued == 2
    assert threading.get_ident() not in role.threads
    first, *others = server.requests
    assert first.headers["x-amz-security-token"] == "token1"
    for request in others:
        assert request.headers["x-amz-security-token"] == "token2"
        assert is_signed(request, server.url, Credentials("AKIDROLE2", "secret2", "token2"))


def test_credentials_that_are_still_valid_are_used_while_they_are_renewed(
    server: Server, make: Make
) -> None:
    gate = threading.Event()
    role = Role(lambda: gate.wait(10) and None)

    async def ask(calls: AwsClient) -> None:
        await calls.call("ReceiveMessage", RECEIVE)
        role.expire_in(12 * 60)
        for _ in range(3):
            await calls.call("ReceiveMessage", RECEIVE)
        gate.set()
        while role.issued < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        await calls.call("ReceiveMessage", RECEIVE)

    using(make(server.url, credentials=role.credentials), ask)
    tokens = [request.headers["x-amz-security-token"] for request in server.requests]
    assert tokens == ["token1"] * 4 + ["token2"]


def test_the_expiry_is_compared_with_the_time_once_a_second(server: Server, make: Make) -> None:
    credentials: Any = Role().credentials
    read_time, reads = credentials._time_fetcher, count()
    credentials._time_fetcher = lambda: (next(reads), read_time())[1]

    async def ask(calls: AwsClient) -> None:
        await calls.call("ReceiveMessage", RECEIVE)
        before, started = next(reads), int(time.monotonic())
        for _ in range(20):
            await calls.call("ReceiveMessage", RECEIVE)
        seconds = int(time.monotonic()) - started + 1
        assert next(reads) - before - 1 <= 2 * seconds

    using(make(server.url, credentials=credentials), ask)


def test_credentials_that_cannot_be_renewed_are_botocores_error(server: Server, make: Make) -> None:
    def fail() -> None:
        raise OSError("no metadata service")

    role = Role(fail)
    role.expire_in(1)
    with pytest.raises(CredentialRetrievalError, match="no metadata service"):
        receive(make(server.url, credentials=role.credentials))
    assert server.requests == []


def test_without_credentials_nothing_is_sent(server: Server, make: Make) -> None:
    with pytest.raises(NoCredentialsError):
        receive(make(server.url, credentials=None))
    assert server.requests == []


def test_the_first_call_is_checked_by_botocore(make: Make, server: Server) -> None:
    with pytest.raises(ParamValidationError):
        using(make(server.url), lambda calls: calls.call("ReceiveMessage", {"QueueUrl": 7}))


def test_a_service_that_speaks_no_json_is_refused(make: Make, server: Server) -> None:
    with pytest.raises(ValueError, match="s3"):
        using(make(server.url, "s3"), lambda calls: calls.call("ListBuckets", {}))


def test_other_threads_calls_go_out_while_one_is_prepared(server: Server, make: Make) -> None:
    client = make(server.url)
    stop = threading.Event()
    made = 0

    def call() -> None:
        nonlocal made
        while not stop.is_set():
            client.receive_message(**RECEIVE)
            made += 1

    thread = threading.Thread(target=call)
    thread.start()
    for _ in range(20):
        prepare(client, "ReceiveMessage", RECEIVE)
    stop.set()
    thread.join()
    assert len(server.requests) == made


def test_a_client_can_be_used_again_after_it_was_closed(server: Server, make: Make) -> None:
    async def ask(calls: AwsClient) -> None:
        await calls.call("ReceiveMessage", RECEIVE)
        await calls.aclose()
        await calls.call("ReceiveMessage", RECEIVE)

    using(make(server.url), ask)
    assert server.connections == 2


def test_a_header_with_a_line_break_is_refused() -> None:
    assert header_lines({"A": "1", "B": "2"}) == "A: 1\r\nB: 2\r\n"
    for headers in ({"A": "1\r\nB: 2"}, {"A\nB": "1"}):
        with pytest.raises(HTTPClientError):
            header_lines(headers)
