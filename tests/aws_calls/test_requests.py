"""What is sent is what botocore would send: the same address, headers, body and signature."""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from aws_calls.conftest import QUEUE, RECEIVE, Make
from aws_calls.server import Request, Server
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import NoCredentialsError, ParamValidationError
from retinue_aws import JsonCalls
from retinue_aws.prepared import UnsupportedCallError, prepare
from retinue_aws.signing import Signing

OF_ONE_CALL = {"authorization", "x-amz-date", "amz-sdk-invocation-id", "amz-sdk-request"}


def signature_fits(request: Request, url: str, credentials: Credentials) -> bool:
    """Whether AWS would accept a request's signature: it is computed anew from what came."""
    authorization = request.headers["authorization"]
    scope, signed, signature = authorization.removeprefix("AWS4-HMAC-SHA256 ").split(", ")
    _, _, region, service, _ = scope.removeprefix("Credential=").split("/")
    names = signed.removeprefix("SignedHeaders=").split(";")
    again = AWSRequest(
        request.method, url, {name: request.headers[name] for name in names}, request.body
    )
    again.context["timestamp"] = request.headers["x-amz-date"]
    signer = SigV4Auth(credentials, service, region)
    text = signer.string_to_sign(again, signer.canonical_request(again))
    return signature == f"Signature={signer.signature(text, again)}"


def test_it_is_what_botocore_sends(server: Server, make: Make) -> None:
    client = make(server.url)
    client.receive_message(**RECEIVE)
    JsonCalls(client).call("ReceiveMessage", RECEIVE)
    theirs, ours = server.requests
    assert (ours.method, ours.target) == (theirs.method, theirs.target)
    assert json.loads(ours.body) == json.loads(theirs.body)
    left_out = {"amz-sdk-invocation-id", "amz-sdk-request", "content-length", "accept-encoding"}
    for name in theirs.headers.keys() - left_out - OF_ONE_CALL:
        assert ours.headers[name] == theirs.headers[name], name
    assert signature_fits(ours, server.url + "/", Credentials("AKIDKEYS", "secret"))
    assert not signature_fits(ours, server.url + "/", Credentials("AKIDKEYS", "another"))


def test_each_call_has_a_body_and_a_signature_of_its_own(server: Server, make: Make) -> None:
    calls = JsonCalls(make(server.url))
    for number in range(3):
        calls.call("ReceiveMessage", {"QueueUrl": QUEUE, "MaxNumberOfMessages": number + 1})
    assert [json.loads(one.body)["MaxNumberOfMessages"] for one in server.requests] == [1, 2, 3]
    for request in server.requests:
        assert signature_fits(request, server.url + "/", Credentials("AKIDKEYS", "secret"))


def test_where_our_signature_would_differ_botocore_signs(
    server: Server, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert prepare(make(server.url), "ReceiveMessage", RECEIVE).signing is not None
    monkeypatch.setattr(Signing, "authorize", lambda *_: {"Authorization": "AWS5"})
    assert prepare(make(server.url), "ReceiveMessage", RECEIVE).signing is None
    JsonCalls(make(server.url)).call("ReceiveMessage", RECEIVE)
    (request,) = server.requests
    assert signature_fits(request, server.url + "/", Credentials("AKIDKEYS", "secret"))


def test_preparing_calls_nobody(server: Server, make: Make) -> None:
    prepare(make(server.url), "ReceiveMessage", RECEIVE)
    assert server.requests == []


def test_bytes_go_as_botocore_sends_them(server: Server, make: Make) -> None:
    client = make(server.url, "rekognition")
    parameters = {"Image": {"Bytes": bytes(range(256))}}
    client.detect_labels(**parameters)
    JsonCalls(client).call("DetectLabels", parameters)
    theirs, ours = server.requests
    assert json.loads(ours.body) == json.loads(theirs.body)


def test_credentials_that_expire_are_renewed_in_mid_run(server: Server, make: Make) -> None:
    issued: list[str] = []

    def renew() -> dict[str, str]:
        number = len(issued) + 1
        issued.append(f"AKIDROLE{number}")
        # The first expire within the time in which botocore must renew them.
        left = timedelta(seconds=1) if number == 1 else timedelta(hours=1)
        return {
            "access_key": issued[-1],
            "secret_key": f"secret{number}",
            "token": f"token{number}",
            "expiry_time": (datetime.now(UTC) + left).isoformat(),
        }

    credentials = RefreshableCredentials.create_from_metadata(renew(), renew, "test")
    calls = JsonCalls(make(server.url, credentials=credentials))
    calls.call("ReceiveMessage", RECEIVE)
    credentials._expiry_time = datetime.now(UTC) + timedelta(seconds=1)
    calls.call("ReceiveMessage", RECEIVE)
    first, second = server.requests
    assert first.headers["x-amz-security-token"] == "token2"
    assert second.headers["x-amz-security-token"] == "token3"
    assert "AKIDROLE3" in second.headers["authorization"]
    assert signature_fits(second, server.url + "/", Credentials("AKIDROLE3", "secret3", "token3"))


def test_without_credentials_nothing_is_sent(server: Server, make: Make) -> None:
    calls = JsonCalls(make(server.url, credentials=None))
    with pytest.raises(NoCredentialsError):
        calls.call("ReceiveMessage", RECEIVE)
    assert server.requests == []


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "host"),
    [
        ("sqs", "ReceiveMessage", RECEIVE, "sqs{}.us-east-1.amazonaws.com"),
        (
            "rekognition",
            "DetectLabels",
            {"Image": {"Bytes": b"x"}},
            "rekognition{}.us-east-1.amazonaws.com",
        ),
    ],
)
def test_fips_endpoints_are_botocores_choice(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    operation: str,
    parameters: dict[str, Any],
    host: str,
) -> None:
    plain = prepare(make(None, service, region_name="us-east-1"), operation, parameters)
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    fips = prepare(make(None, service, region_name="us-east-1"), operation, parameters)
    assert urlsplit(plain.url).hostname == host.format("")
    assert urlsplit(fips.url).hostname == host.format("-fips")


def test_an_endpoint_of_your_own_by_variable(
    server: Server, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
    JsonCalls(make()).call("ReceiveMessage", RECEIVE)
    (request,) = server.requests
    assert request.headers["x-amz-target"] == "AmazonSQS.ReceiveMessage"


def test_the_first_call_is_checked_by_botocore(make: Make, server: Server) -> None:
    with pytest.raises(ParamValidationError):
        JsonCalls(make(server.url)).call("ReceiveMessage", {"QueueUrl": 7})


def test_a_service_that_speaks_no_json_is_refused(make: Make, server: Server) -> None:
    calls = JsonCalls(make(server.url, "s3"))
    with pytest.raises(UnsupportedCallError, match="s3"):
        calls.call("ListBuckets", {})


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
