"""Any answer instead of SQS's and S3's is reported, and fails no image."""

import gzip
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from threading import Event
from typing import Any

import pytest
from aws_client.server import Reply, Server, serving
from botocore.config import Config
from retinue_aws import AwsClient, new_session
from retinue_sdk import (
    ConfigurationError,
    DetectorNotReadyError,
    ImageLimits,
    ImageReference,
    InvalidImageError,
    RetriableError,
)
from retinue_workers.intake.errors import QueueUnavailableError
from retinue_workers.intake.object_reader import ObjectReader
from retinue_workers.intake.queue_depth import read_queue_depth
from retinue_workers.intake.s3 import ObjectStore
from retinue_workers.intake.sqs import SqsQueue
from retinue_workers.work import Message
from structlog.testing import capture_logs

NESTED = "[" * 5_000 + "]" * 5_000
BODIES = [
    b"",
    b"[]",
    b"null",
    b'"no"',
    b'{"__type": 5}',
    b'{"__type": "\xff"}',
    gzip.compress(b"{}", mtime=0),
    "<html>Dienst nicht verfügbar</html>".encode("latin-1"),
    b"<Error><Code>NoSuch",
    b"<Error><Code><a/></Code></Error>",
    NESTED.encode(),
    b"<a>" * 5_000,
    b"x" * 2_000_000,
]
MESSAGES = [Message(f"m{number}", f"r{number}", "{}", 1) for number in range(3)]
STATUSES = [301, 400, 403, 404, 500, 503]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as known:
        yield known


def client(server: Server, service: str) -> Any:
    session: Any = new_session("eu-west-1")
    session.set_credentials("AKID", "secret")
    once = Config(retries={"total_max_attempts": 1, "mode": "standard"})
    return session.create_client(service, endpoint_url=server.url, config=once)


# The queue.


@asynccontextmanager
async def queue_of(server: Server) -> AsyncIterator[SqsQueue]:
    queue = SqsQueue(
        AwsClient(client(server, "sqs")),
        "http://sqs.eu-west-1.amazonaws.com/000000000000/photos",
        wait_seconds=0,
        visibility_timeout_seconds=30,
    )
    try:
        yield queue
    finally:
        await queue.close()


@pytest.mark.parametrize("status", STATUSES)
async def test_an_error_of_any_kind_is_a_queue_that_is_away(server: Server, status: int) -> None:
    async with queue_of(server) as queue:
        for body in BODIES:
            server.default = Reply(status, body)
            with pytest.raises(QueueUnavailableError, match=str(status)):
                await queue.connect()
            with pytest.raises(QueueUnavailableError, match=str(status)):
                await queue.receive(10)
            with pytest.raises(QueueUnavailableError, match=str(status)) as failed:
                await queue.delete(MESSAGES)
            assert list(failed.value.messages) == MESSAGES
            with pytest.raises(QueueUnavailableError, match=str(status)) as failed:
                await queue.change_visibility(MESSAGES, 0)
            assert list(failed.value.messages) == MESSAGES


@pytest.mark.parametrize(
    "body",
    [
        *(body for body in BODIES if body),
        b'{"Messages": 5}',
        b'{"Messages": {"a": 1}}',
        b'{"Messages": [5]}',
        b'{"Messages": [{"MessageId": "m"}]}',
        b'{"Messages": [{"MessageId": 1, "ReceiptHandle": 2, "Body": 3, "Attributes": {}}]}',
        b'{"Attributes": 5}',
        b'{"Attributes": {"RedrivePolicy": "no JSON"}}',
        b'{"Attributes": {"RedrivePolicy": "[]"}}',
        b'{"Successful": 5, "Failed": [7, {"Id": "x"}, {"Id": "999", "Code": 5}]}',
    ],
    ids=lambda body: repr(body[:50]),
)
async def test_a_success_of_another_kind_is_a_queue_that_is_away(
    server: Server, body: bytes
) -> None:
    server.default = Reply(body=body)
    async with queue_of(server) as queue:
        with pytest.raises(QueueUnavailableError) as failed:
            await queue.delete(MESSAGES)
        assert list(failed.value.messages) == MESSAGES
        if b"Successful" not in body and b"Attributes" not in body:
            with pytest.raises(QueueUnavailableError):
                await queue.receive(10)
        if body.startswith(b'{"Attributes"'):
            with pytest.raises(QueueUnavailableError):
                await queue.connect()
    with pytest.raises(QueueUnavailableError):
        read_queue_depth(client(server, "sqs"), "http://localhost/000000000000/photos")


async def test_a_message_that_cannot_be_read_keeps_no_other_back(server: Server) -> None:
    good = {
        "MessageId": "m",
        "ReceiptHandle": "r",
        "Body": "{}",
        "Attributes": {"ApproximateReceiveCount": "2"},
    }
    server.default = Reply(body=json.dumps({"Messages": [{"MessageId": "n"}, good]}).encode())
    with capture_logs() as logged:
        async with queue_of(server) as queue:
            [message] = await queue.receive(10)
    assert (message.message_id, message.receipt_handle, message.receive_count) == ("m", "r", 2)
    assert [entry["event"] for entry in logged] == ["messages_unreadable"]


async def test_what_sqs_does_not_confirm_is_not_done(server: Server) -> None:
    server.default = Reply(
        body=b'{"Successful": [{"Id": "0"}],'
        b' "Failed": [{"Id": "1", "Code": "Gone", "SenderFault": true}]}'
    )
    async with queue_of(server) as queue:
        with pytest.raises(QueueUnavailableError, match="does not confirm") as failed:
            await queue.delete(MESSAGES)
    assert list(failed.value.messages) == [MESSAGES[2]]


async def test_a_receipt_that_expired_is_logged_once(server: Server) -> None:
    server.default = Reply(
        body=b'{"Failed": [{"Id": "0", "Code": "InvalidParameterValue", "SenderFault": true}]}'
    )
    message = Message("m", "r", "{}", 1)
    with capture_logs() as logged:
        async with queue_of(server) as queue:
            for _ in range(3):  # heartbeats
                await queue.change_visibility([message], 120)
            await queue.delete([message])
    assert [entry["event"] for entry in logged] == ["receipt_expired"]


@pytest.mark.parametrize(
    "code", ["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "InvalidAddress"]
)
async def test_a_url_that_can_never_work_is_a_wrong_setting(server: Server, code: str) -> None:
    server.default = Reply(400, json.dumps({"__type": f"com.amazonaws.sqs#{code}"}).encode())
    async with queue_of(server) as queue:
        with pytest.raises(ConfigurationError, match="RETINUE_QUEUE_URL"):
            await queue.connect()


# Images.


@pytest.fixture
def store(server: Server) -> Iterator[ObjectStore]:
    made = client(server, "s3")
    limits = ImageLimits(max_bytes=3_000_000)
    with closing(ObjectStore(lambda: ObjectReader(made), limits)) as opened:
        yield opened


REFERENCES = [
    ImageReference("bucket", "a.jpg", "v1", "etag"),
    ImageReference("bucket", "a.jpg", None, "etag"),
]


@pytest.mark.parametrize("reference", REFERENCES, ids=["version", "current"])
@pytest.mark.parametrize("status", STATUSES)
def test_an_error_of_any_kind_blames_no_object(
    server: Server, store: ObjectStore, reference: ImageReference, status: int
) -> None:
    for body in BODIES:
        server.default = Reply(status, body)
        for ask in (store.fetch, store.tags) + ((store.head,) if status != 404 else ()):
            with pytest.raises((RetriableError, DetectorNotReadyError), match=str(status)):
                ask(reference)


@pytest.mark.parametrize("reference", REFERENCES, ids=["version", "current"])
def test_a_success_without_an_etag_is_tried_again(
    server: Server, store: ObjectStore, reference: ImageReference
) -> None:
    for body in BODIES:
        for headers in ({}, {"ETag": '""'}):
            server.default = Reply(body=body, headers=headers)
            for ask in (store.fetch, store.head, store.tags):
                with pytest.raises(RetriableError):
                    ask(reference)


def test_another_etag_is_another_object(server: Server, store: ObjectStore) -> None:
    server.default = Reply(body=b"jpeg", headers={"ETag": '"other"'})
    with pytest.raises(InvalidImageError) as refused:
        store.fetch(REFERENCES[1])
    assert refused.value.code == "object_replaced"


def test_a_missing_object_is_told_by_s3_alone(server: Server, store: ObjectStore) -> None:
    server.default = Reply(404, b"<Error><Code>NoSuchKey</Code></Error>")
    with pytest.raises(InvalidImageError) as refused:
        store.fetch(REFERENCES[0])
    assert refused.value.code == "object_not_found"
    server.default = Reply(404)
    with pytest.raises(InvalidImageError):  # it has no body
        store.head(REFERENCES[0])


def test_an_object_whose_size_changes_between_two_questions_is_tried_again(
    server: Server, store: ObjectStore
) -> None:
    headers = {"ETag": '"etag"'}
    server.replies.extend(Reply(body=body, headers=headers) for body in (bytes(3_000_001), b"jpeg"))
    with pytest.raises(RetriableError, match="0 of 4 bytes"):
        store.fetch(REFERENCES[1])
    assert [request.method for request in server.requests] == ["GET", "HEAD"]


async def test_an_object_is_read_within_a_coroutine(server: Server, store: ObjectStore) -> None:
    server.default = Reply(body=b"jpeg", headers={"ETag": '"etag"'})
    assert store.fetch(REFERENCES[0]) == b"jpeg"


def test_a_call_under_way_ends_with_the_store(server: Server, store: ObjectStore) -> None:
    asked, released = Event(), Event()

    def hang() -> None:
        asked.set()
        released.wait(10)

    server.default = Reply(before=hang)
    with ThreadPoolExecutor(1) as threads:
        fetching = threads.submit(store.fetch, REFERENCES[0])
        assert asked.wait(10)
        store.close()
        with pytest.raises(RetriableError):
            fetching.result(10)
        released.set()
