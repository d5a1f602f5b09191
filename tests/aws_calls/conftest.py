"""A boto3 client whose calls go to a server of our own."""

import os
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import boto3
import botocore.session
import pytest
from aws_calls.server import Server, serving
from botocore.config import Config
from retinue_aws import Answer, JsonCalls

Make = Callable[..., Any]
QUEUE = "http://sqs.eu-west-1.amazonaws.com/000000000000/photos"
RECEIVE = {"QueueUrl": QUEUE, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1}


@pytest.fixture(autouse=True)
def _nothing_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as told:
        yield told


@pytest.fixture
def make() -> Make:
    """Makes a client: ``make(url, service="sqs", credentials=…, **config)``."""

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


Ask = Callable[[JsonCalls], Answer]


@pytest.fixture(params=["call", "send"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Receives messages: by waiting for the answer, or beside other calls."""
    if request.param == "call":
        return lambda calls: calls.call("ReceiveMessage", RECEIVE)

    def send(calls: JsonCalls) -> Answer:
        told: SimpleQueue[Answer | Exception] = SimpleQueue()
        calls.send("ReceiveMessage", RECEIVE, told.put)
        answer = told.get(timeout=30)
        calls.close()
        if isinstance(answer, Exception):
            raise answer
        return answer

    return send
