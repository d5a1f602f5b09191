"""Sending: all of it, whatever SQS refuses at first, and no faster than told."""

import random
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError
from redrive.conftest import Pool
from retinue_aws import Answer, JsonCalls
from retinue_cli.replay.sender import Sender
from retinue_workers.intake.sqs import QueueUnavailableError

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinue_workers.limits.backoff.BASE_SECONDS", 0.001)


class Unreliable(JsonCalls):
    """SQS that does not answer, or takes only some, in a share of the calls."""

    def __init__(self, sqs: "SQSClient", share: float, seed: int = 7) -> None:
        super().__init__(sqs)
        self._share = share
        self._random = random.Random(seed)

    def call(self, operation: str, parameters: Mapping[str, Any]) -> Answer:
        if self._random.random() < self._share:
            raise EndpointConnectionError(endpoint_url=parameters["QueueUrl"])
        entries = parameters["Entries"]
        refused = [entry for entry in entries if self._random.random() < self._share]
        taken = [entry for entry in entries if entry not in refused]
        if taken:
            super().call(operation, {**parameters, "Entries": taken})
        failed = [
            {"Id": entry["Id"], "Code": "InternalError", "SenderFault": False} for entry in refused
        ]
        return Answer({"Successful": [], "Failed": failed}, "")


def test_every_message_is_taken_once(pool: Pool) -> None:
    bodies = [f"message {number}" for number in range(1_234)]
    assert sum(Sender(JsonCalls(pool.sqs), pool.url).send(bodies)) == len(bodies)
    assert Counter(pool.bodies()) == Counter(bodies)


def test_what_is_refused_is_sent_again_and_nothing_else(pool: Pool) -> None:
    bodies = [f"message {number}" for number in range(300)]
    flaky = Unreliable(pool.sqs, 0.05)
    assert sum(Sender(flaky, pool.url).send(bodies)) == len(bodies)
    assert Counter(pool.bodies()) == Counter(bodies)


def test_a_queue_that_takes_nothing_is_told(pool: Pool) -> None:
    gone = Unreliable(pool.sqs, 1.0)
    with pytest.raises(QueueUnavailableError, match="does not take messages: Could not connect"):
        list(Sender(gone, "http://127.0.0.1:9/queue").send(["a"]))


def test_large_messages_go_alone(pool: Pool) -> None:
    bodies = [str(number) * 60_000 for number in range(1, 9)]
    assert sum(Sender(JsonCalls(pool.sqs), pool.url).send(bodies)) == len(bodies)
    assert sorted(pool.bodies()) == sorted(bodies)


def test_the_pace_is_kept(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("retinue_cli.replay.sender.time.sleep", slept.append)
    monkeypatch.setattr("retinue_cli.replay.sender.time.monotonic", lambda: 100.0)
    list(Sender(JsonCalls(pool.sqs), pool.url, per_second=5).send(["x"] * 30))
    assert slept == [0.0, 2.0, 4.0]
