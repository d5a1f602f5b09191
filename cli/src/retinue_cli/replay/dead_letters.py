"""The dead-letter queue of a pool: what lies in it, and back into the queue with it."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from retinue_aws import JsonCalls
from retinue_sdk import ConfigurationError
from retinue_workers.intake.s3_event import MalformedEventError, parse
from retinue_workers.intake.sqs import BATCH, QueueUnavailableError, SqsQueue
from retinue_workers.work import Message

from retinue_cli.replay.sender import Sender

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

HIDDEN_SECONDS = 120
"""How long a dead letter that is being looked at is hidden from others who look."""

_QUIET_RECEIVES = 3  # SQS may answer with nothing though there is something; not so often
_UNREADABLE_PART = re.compile(r"'[^']*'?|\[\d+\]|\d+")

UNRECORDED = "asks for images that could not be recorded"
"""The cause of a dead letter that can be understood."""


@dataclass(slots=True)
class DeadLetterCause:
    """Why messages are in the dead-letter queue.

    Attributes:
        reason: In words, without what differs from message to message.
        messages: How many of those looked at.
        example: One of them: its message id and the beginning of its body.
    """

    reason: str
    messages: int = 0
    example: str = ""


@dataclass(slots=True)
class Moved:
    """What came of moving dead letters back.

    Attributes:
        messages: How many are in the pool's queue again.
        left: How many stay, because no worker could understand them, by reason.
    """

    messages: int = 0
    left: Counter[str] = field(default_factory=Counter)


class DeadLetters:
    """The dead-letter queue that a pool's queue names in its redrive policy.

    Args:
        client: A boto3 SQS client.
        queue_url: URL of the pool's queue.

    Raises:
        ConfigurationError: The queue does not exist or has no dead-letter queue.
        QueueUnavailableError: SQS did not answer.
    """

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        """Find it."""
        self._client = client
        self._sender = Sender(JsonCalls(client), queue_url)
        # To ask for the queue checks that it exists, and says so in the user's words.
        SqsQueue(client, queue_url, wait_seconds=0, visibility_timeout_seconds=HIDDEN_SECONDS)
        try:
            asked = client.get_queue_attributes(
                QueueUrl=queue_url, AttributeNames=["RedrivePolicy"]
            )
            policy = asked.get("Attributes", {}).get("RedrivePolicy")
            if not policy:
                raise ConfigurationError(f"{queue_url} has no dead-letter queue")
            _, _, _, _, account, name = json.loads(policy)["deadLetterTargetArn"].split(":")
            found = client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)
        except (BotoCoreError, ClientError) as error:
            raise QueueUnavailableError(f"cannot ask {queue_url}: {error}") from error
        self.url = found["QueueUrl"]
        self._queue = SqsQueue(
            client, self.url, wait_seconds=1, visibility_timeout_seconds=HIDDEN_SECONDS
        )

    def count(self) -> int:
        """About how many there are, as SQS counts.

        Raises:
            QueueUnavailableError: SQS did not answer.
        """
        try:
            answer = self._client.get_queue_attributes(
                QueueUrl=self.url, AttributeNames=["ApproximateNumberOfMessages"]
            )
        except (BotoCoreError, ClientError) as error:
            raise QueueUnavailableError(f"cannot ask {self.url}: {error}") from error
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def causes(self, limit: int) -> list[DeadLetterCause]:
        """Look at some, most frequent cause first; they stay where they are.

        Args:
            limit: How many to look at, at most.

        Raises:
            QueueUnavailableError: SQS did not answer.
        """
        causes: dict[str, DeadLetterCause] = {}
        seen: list[Message] = []
        try:
            for batch in self._receive(limit):
                seen += batch
                for message in batch:
                    reason = what_is_wrong(message.body) or UNRECORDED
                    cause = causes.setdefault(reason, DeadLetterCause(reason))
                    cause.messages += 1
                    cause.example = cause.example or f"{message.message_id} {message.body[:120]}"
        finally:
            self._queue.change_visibility(seen, 0)
        return sorted(causes.values(), key=lambda cause: -cause.messages)

    def move_back(self, moved: Moved) -> Iterator[int]:
        """Send each to the pool's queue, then delete it here; killed midway, none is lost.

        What no worker could understand stays, since it would only come back.

        Args:
            moved: Where it is written down what came of it.

        Yields:
            How many more have been dealt with.

        Raises:
            QueueUnavailableError: SQS did not answer.
        """
        staying: list[Message] = []
        try:
            for batch in self._receive(None):
                good = []
                for message in batch:
                    if reason := what_is_wrong(message.body):
                        moved.left[reason] += 1
                        staying.append(message)
                    else:
                        good.append(message)
                for _ in self._sender.send(message.body for message in good):
                    pass
                self._queue.delete(good)
                moved.messages += len(good)
                yield len(batch)
        finally:
            self._queue.change_visibility(staying, 0)

    def _receive(self, limit: int | None) -> Iterator[list[Message]]:
        """Batches, until there is nothing more to be had."""
        received = quiet = 0
        while quiet < _QUIET_RECEIVES and (limit is None or received < limit):
            wanted = BATCH if limit is None else min(BATCH, limit - received)
            batch = self._queue.receive(wanted)
            received += len(batch)
            quiet = 0 if batch else quiet + 1
            if batch:
                yield batch


def what_is_wrong(body: str) -> str | None:
    """Why no worker can understand a message, without its particulars; ``None`` if it can be."""
    try:
        problems = parse(body).problems
    except MalformedEventError as error:
        problems = (str(error),)
    return _UNREADABLE_PART.sub("…", problems[0]) if problems else None
