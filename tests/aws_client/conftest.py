"""boto3 clients and the clients made of them, which call a server of our own."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import boto3
import botocore.session
import pytest
import uvloop
from aws_client.server import Server, serving
from botocore.config import Config
from retinue_aws import AwsClient
from retinue_aws.connection import Connection

T = TypeVar("T")
Make = Callable[..., Any]
QUEUE = "http://sqs.eu-west-1.amazonaws.com/000000000000/photos"
RECEIVE = {"QueueUrl": QUEUE, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1}


@pytest.fixture(autouse=True)
def _nothing_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as known:
        yield known


@pytest.fixture
def make() -> Make:
    """Makes a boto3 client: ``make(url, service="sqs", credentials=…, **config)``."""

    def client(
        url: str | None = None, service: str = "sqs", credentials: Any = "keys", **config: Any
    ) -> Any:
        core = botocore.session.Session()
        if credentials == "keys":
            core.set_credentials("AKIDKEYS", "secret")
        elif credentials is not None:
            core._credentials = credentials
        session = boto3.Session(botocore_session=core, region_name="eu-west-1")
        settings = {"retries": {"total_max_attempts": 1, "mode": "standard"}, **config}
        return session.client(service, endpoint_url=url, config=Config(**settings))

    return client


def using(
    client: Any,
    work: Callable[[AwsClient], Awaitable[T]],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,
    **options: Any,
) -> T:
    """Make an ``AwsClient`` of a boto3 client and run a coroutine with it, as a worker does."""

    async def run() -> T:
        calls = AwsClient(client, **options)
        try:
            return await asyncio.wait_for(work(calls), 30)
        finally:
            await calls.aclose()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(run())


def receive(client: Any, **options: Any) -> Any:
    """Receive messages once by an ``AwsClient``."""
    return using(client, lambda calls: calls.call("ReceiveMessage", RECEIVE), **options)


def idle_connections(calls: AwsClient) -> list[Connection]:
    """Return the connections that wait for another call."""
    return [one for origin in calls._http._origins.values() for one in origin.idle]
