"""Objects in S3: requests, answers and errors are those of botocore."""

import base64
import threading
import zlib
from functools import cache
from typing import Any

import pytest
from aws_client.conftest import Make, using
from aws_client.server import Reply, Server
from aws_client.test_requests import KEYS, OF_ONE_CALL, is_signed
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ClientError, FlexibleChecksumError, ReadTimeoutError
from botocore.parsers import ResponseParserError
from fakes.examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retinue_aws import AwsClient, BodyTooLargeError, S3Object, TruncatedBodyError
from retinue_aws.client import _Raw
from retinue_aws.http import HttpAnswer

ETAG = '"9a0364b9e99bb480dd25e1f0284c8555"'
PHOTO = Reply(
    body=b"jpeg" * 1_000,
    headers={
        "Content-Type": "image/jpeg",
        "ETag": ETAG,
        "x-amz-version-id": "3HL4",
        "x-amz-meta-of": "us",
    },
)


def get(client: Any, *args: Any, max_bytes: int = 10_000, **options: Any) -> S3Object:
    return using(client, lambda calls: calls.get_object(*args, max_bytes=max_bytes, **options))


def test_an_object_is_read(server: Server, make: Make) -> None:
    server.default = PHOTO
    photo = get(make(server.url, "s3"), "photos", "a.jpg")
    assert (photo.body, photo.etag, photo.version_id) == (PHOTO.body, ETAG, "3HL4")
    assert (photo.content_length, photo.headers["x-amz-meta-of"]) == (4_000, "us")
    (request,) = server.requests
    assert (request.method, request.target) == ("GET", "/photos/a.jpg")
    assert is_signed(request, server.url, KEYS)


def test_headers_are_read_without_the_object(server: Server, make: Make) -> None:
    server.default = PHOTO
    photo = using(make(server.url, "s3"), lambda calls: calls.head_object("photos", "a", "3/H"))
    assert (photo.body, photo.etag, photo.content_length) == (b"", ETAG, 4_000)
    (request,) = server.requests
    assert (request.method, request.target) == ("HEAD", "/photos/a?versionId=3%2FH")


KEYS_OF_OBJECTS = [
    "a.jpg",
    "key",
    "a/key",
    "a b+c~d*e.jpg",
    "//a/../b/./c",
    "ä/日本.jpg",
    "a?b#c%20&d=e",
    "'\"<>\\^`{|}",
    "\x01\x7f",
    "a/",
]


@pytest.mark.parametrize("key", KEYS_OF_OBJECTS)
@pytest.mark.parametrize("version_id", [None, "null", "a+b/c=~."])
def test_requests_are_what_botocore_sends(
    server: Server, make: Make, key: str, version_id: str | None
) -> None:
    server.default = PHOTO
    client = make(server.url, "s3")
    named = {"Bucket": "photos", "Key": key} | ({"VersionId": version_id} if version_id else {})
    client.get_object(**named, Range="bytes=3-17")["Body"].read()
    client.head_object(**named)

    async def ask(calls: AwsClient) -> None:
        await calls.get_object("photos", key, version_id, max_bytes=10_000, byte_range=(3, 17))
        await calls.head_object("photos", key, version_id)

    using(client, ask)
    for theirs, ours in zip(server.requests[:2], server.requests[2:], strict=True):
        assert (ours.method, ours.target) == (theirs.method, theirs.target)
        assert ours.headers.keys() == theirs.headers.keys() - {
            "amz-sdk-invocation-id",
            "amz-sdk-request",
        }
        for name in ours.headers.keys() - OF_ONE_CALL:
            assert ours.headers[name] == theirs.headers[name], name
        assert is_signed(ours, server.url, KEYS)


@cache
def s3(url: str, make: Make) -> Any:
    return make(url, "s3")


@settings(max_examples=examples(0.6), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_any_key_is_sent_as_botocore_sends_it(server: Server, make: Make, keys: list[str]) -> None:
    server.default = PHOTO
    server.requests.clear()
    client = s3(server.url, make)
    for key in keys:
        client.head_object(Bucket="photos", Key=key)

    async def ask(calls: AwsClient) -> None:
        for key in keys:
            await calls.head_object("photos", key)

    using(client, ask)
    targets = [request.target for request in server.requests]
    assert targets[: len(keys)] == targets[len(keys) :]


@pytest.mark.parametrize(
    ("bucket", "config"),
    [
        ("photos", {}),
        ("photos", {"s3": {"addressing_style": "path"}}),
        ("photos", {"s3": {"use_accelerate_endpoint": True}}),
        ("photos", {"use_dualstack_endpoint": True}),
        ("photos", {"use_fips_endpoint": True}),
        ("dotted.photos", {}),
        ("arn:aws:s3:us-east-2:123456789012:accesspoint/mine", {}),
    ],
)
def test_addresses_are_botocores(
    make: Make, monkeypatch: pytest.MonkeyPatch, bucket: str, config: dict[str, Any]
) -> None:
    sent: list[str] = []
    client = make(None, "s3", **config)

    def keep(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        sent.append(request.url)
        return AWSResponse(request.url, 200, {}, _Raw(b""))

    client.meta.events.register("before-send.s3.HeadObject", keep)
    client.head_object(Bucket=bucket, Key="a b")

    async def ask(calls: AwsClient) -> None:
        async def send(_: str, url: Any, *__: Any, **___: Any) -> Any:
            sent.append(str(url))
            raise ClientError({}, "HeadObject")

        monkeypatch.setattr(calls._http, "send", send)
        with pytest.raises(ClientError):
            await calls.head_object(bucket, "a b")

    using(client, ask)
    assert sent[0] == sent[1]


def test_a_larger_object_is_refused_before_it_is_read(server: Server, make: Make) -> None:
    server.default = PHOTO
    assert get(make(server.url, "s3"), "photos", "a", max_bytes=4_000).content_length == 4_000
    with pytest.raises(BodyTooLargeError, match="3999"):
        get(make(server.url, "s3"), "photos", "a", max_bytes=3_999)


def test_an_object_that_is_cut_short_is_an_error(server: Server, make: Make) -> None:
    client = make(server.url, "s3", retries={"total_max_attempts": 2, "mode": "standard"})
    short = Reply(body=b"jpeg", headers=PHOTO.headers, length=4_000)
    server.replies.extend([short, PHOTO])
    assert get(client, "photos", "a").body == PHOTO.body
    server.replies.extend([short, short])
    with pytest.raises(TruncatedBodyError, match="4 bytes read of 4000"):
        get(client, "photos", "a")


def test_an_object_that_never_comes_to_its_end_is_an_error(server: Server, make: Make) -> None:
    released = threading.Event()
    server.default = Reply(
        body=b"jpeg", headers=PHOTO.headers, length=4_000, after=lambda: released.wait(10)
    )
    with pytest.raises(ReadTimeoutError):
        get(make(server.url, "s3", read_timeout=0.3), "photos", "a")
    released.set()


def test_an_answer_without_an_etag_is_not_an_object(server: Server, make: Make) -> None:
    with pytest.raises(ResponseParserError, match="ETag"):
        get(make(server.url, "s3"), "photos", "a")


def test_a_checksum_is_checked(server: Server, make: Make) -> None:
    right = base64.b64encode(zlib.crc32(PHOTO.body).to_bytes(4, "big")).decode()
    client = make(server.url, "s3")
    server.default = Reply(body=PHOTO.body, headers={"ETag": ETAG, "x-amz-checksum-crc32": right})
    assert get(client, "photos", "a").body == PHOTO.body
    assert server.requests[0].headers["x-amz-checksum-mode"] == "ENABLED"
    server.default = Reply(
        body=PHOTO.body, headers={"ETag": ETAG, "x-amz-checksum-crc32": "AAAAAA=="}
    )
    with pytest.raises(FlexibleChecksumError):
        get(client, "photos", "a")


def error(code: str, more: str = "") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code>{more}</Error>".encode()


REFUSALS = {
    "no such key": Reply(404, error("NoSuchKey", "<Message>none</Message><Key>a</Key>")),
    "archived": Reply(403, error("InvalidObjectState", "<StorageClass>GLACIER</StorageClass>")),
    "denied": Reply(403, error("AccessDenied")),
    "disabled key": Reply(400, error("KMS.DisabledException")),
    "a page": Reply(503, b"<html>busy</html>", {"Content-Type": "text/html"}),
    "nothing": Reply(404, b""),
    "cut short": Reply(500, b"<Error><Code>Inter"),
    "not modified": Reply(304, b""),
}


@pytest.mark.parametrize("reply", REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.parametrize("method", ["get_object", "head_object"])
def test_error_answers_are_botocores(server: Server, make: Make, method: str, reply: Reply) -> None:
    server.default = reply
    client = make(server.url, "s3")
    with pytest.raises(ClientError) as theirs:
        getattr(client, method)(Bucket="photos", Key="a")
    options = {"max_bytes": 1} if method == "get_object" else {}
    with pytest.raises(ClientError) as ours:
        using(client, lambda calls: getattr(calls, method)("photos", "a", **options))
    assert type(ours.value) is type(theirs.value)
    left_out = {"ResponseMetadata"}
    assert {k: v for k, v in ours.value.response.items() if k not in left_out} == {
        k: v for k, v in theirs.value.response.items() if k not in left_out
    }


def test_a_bucket_in_another_region_is_found(server: Server, make: Make) -> None:
    client = make(None, "s3", retries={"total_max_attempts": 2, "mode": "standard"})
    sent: list[str] = []

    async def ask(calls: AwsClient) -> None:
        async def send(method: str, url: Any, *_: Any, **__: Any) -> Any:
            sent.append(str(url))
            if "eu-west-1" in str(url):
                moved = error("PermanentRedirect")
                headers = {"x-amz-bucket-region": "ap-south-1"}
                return calls_answer(str(url), 301, headers, moved)
            return calls_answer(str(url), 200, {"etag": ETAG}, b"")

        calls._http.send = send  # type: ignore[method-assign]
        await calls.get_object("photos", "a", max_bytes=10)
        await calls.get_object("photos", "b", max_bytes=10)

    using(client, ask)
    assert sent == [
        "https://photos.s3.eu-west-1.amazonaws.com/a",
        "https://photos.s3.ap-south-1.amazonaws.com/a",
        "https://photos.s3.ap-south-1.amazonaws.com/b",
    ]


def calls_answer(url: str, status: int, headers: dict[str, str], body: bytes) -> Any:
    return HttpAnswer(url, status, headers, body)
