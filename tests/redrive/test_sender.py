"""Sending: all of it, whatever SQS refuses at first, and no faster than told."""

import random
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError
from redrive.conftest import Pool
from retinue_aws import AwsClient, JsonAnswer
from retinue_cli.replay.sender import Sender
from retinue_workers.intake.errors import QueueUnavailableError

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinue_workers.limits.backoff.BASE_SECONDS", 0.001)


class Unreliable(AwsClient):
    """SQS that does not answer, or takes only some messages, in a share of the calls."""

    def __init__(self, sqs: "SQSClient", share: float, seed: int = 7) -> None:
        super().__init__(sqs)
        self._share = share
        self._random = random.Random(seed)

    async def call(self, operation: str, parameters: Mapping[str, Any]) -> JsonAnswer:
        if self._random.random() < self._share:
            raise EndpointConnectionError(endpoint_url=parameters["QueueUrl"])
        entries = parameters["Entries"]
        refused = [entry for entry in entries if self._random.random() < self._share]
        taken = [entry for entry in entries if entry not in refused]
        if taken:
            await super().call(operation, {**parameters, "Entries": taken})
        failed = [
            {"Id": entry["Id"], "Code": "InternalError", "SenderFault": False} for entry in refused
        ]
        successful = [{"Id": entry["Id"]} for entry in taken]
        return JsonAnswer({"Successful": successful, "Failed": failed}, "")


def send(client: AwsClient, url: str, bodies: Sequence[str], **limits: float) -> int:
    """Send messages; return how many were sent."""
    with Sender(client, url, **limits) as sender:
        return sum(sender.send(bodies))


def test_every_message_is_taken_once(pool: Pool) -> None:
    bodies = [f"message {number}" for number in range(1_234)]
    assert send(AwsClient(pool.sqs), pool.url, bodies) == len(bodies)
    assert Counter(pool.bodies()) == Counter(bodies)


def test_what_is_refused_is_sent_again_and_nothing_else(pool: Pool) -> None:
    bodies = [f"message {number}" for number in range(300)]
    assert send(Unreliable(pool.sqs, 0.05), pool.url, bodies) == len(bodies)
    assert Counter(pool.bodies()) == Counter(bodies)


def test_what_sqs_does_not_confirm_is_sent_again(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, answers = AwsClient(pool.sqs), 0
    call = client.call

    async def first_nothing(operation: str, parameters: Mapping[str, Any]) -> JsonAnswer:
        nonlocal answers
        answers += 1
        return JsonAnswer({}, "") if answers == 1 else await call(operation, parameters)

    monkeypatch.setattr(client, "call", first_nothing)
    assert send(client, pool.url, ["a", "b"]) == 2
    assert Counter(pool.bodies()) == Counter(["a", "b"])


def test_a_queue_that_takes_nothing_is_told(pool: Pool) -> None:
    gone = Unreliable(pool.sqs, 1.0)
    with pytest.raises(QueueUnavailableError, match=r"cannot send to .*: Could not connect"):
        send(gone, "http://127.0.0.1:9/queue", ["a"])


def test_large_messages_go_alone(pool: Pool) -> None:
    bodies = [str(number) * 60_000 for number in range(1, 9)]
    assert send(AwsClient(pool.sqs), pool.url, bodies) == len(bodies)
    assert sorted(pool.bodies()) == sorted(bodies)


@pytest.fixture
def fifo_url(pool: Pool) -> str:
    name = f"q{uuid.uuid4().hex}.fifo"
    return pool.sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})["QueueUrl"]


def test_a_fifo_queue_takes_every_message_too(pool: Pool, fifo_url: str) -> None:
    bodies = [f"message {number}" for number in range(50)] + ["the same"] * 3
    assert send(AwsClient(pool.sqs), fifo_url, bodies) == len(bodies)
    assert send(AwsClient(pool.sqs), fifo_url, ["the same"]) == 1  # a request of its own
    assert Counter(pool.bodies(fifo_url)) == Counter([*bodies, "the same"])


class Silent(AwsClient):
    """SQS that takes the messages of the first call and does not answer."""

    answers = False
    entries: tuple[Mapping[str, str], ...] = ()

    async def call(self, operation: str, parameters: Mapping[str, Any]) -> JsonAnswer:
        self.entries += tuple(parameters["Entries"])
        answer = await super().call(operation, parameters)
        if not self.answers:
            self.answers = True
            raise EndpointConnectionError(endpoint_url=parameters["QueueUrl"])
        return answer


def test_a_message_that_is_sent_again_counts_once_in_a_fifo_queue(
    pool: Pool, fifo_url: str
) -> None:
    client = Silent(pool.sqs)
    assert send(client, fifo_url, ["a", "b"]) == 2
    tokens = [(entry["MessageBody"], entry["MessageDeduplicationId"]) for entry in client.entries]
    assert tokens[:2] == tokens[2:]
    assert len(set(tokens)) == 2
    assert sorted(pool.bodies(fifo_url)) == ["a", "b"]


def test_the_rate_is_kept(pool: Pool) -> None:
    began = time.monotonic()
    assert send(AwsClient(pool.sqs), pool.url, ["x"] * 30, per_second=50) == 30
    assert time.monotonic() - began >= 0.4  # the third batch begins after 20 messages
