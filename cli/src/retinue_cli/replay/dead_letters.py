"""Inspect a pool's dead-letter queue, and move its messages back to the pool's queue."""

import hashlib
import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from retinue_aws import AwsClient
from retinue_sdk import ConfigurationError
from retinue_workers.intake.errors import QueueUnavailableError
from retinue_workers.intake.queue_depth import dead_letter_queue_url, visible_messages
from retinue_workers.intake.s3_event import MalformedEventError, parse
from retinue_workers.intake.sqs import BATCH, NO_SUCH_QUEUE

from retinue_cli.replay.sender import Sender

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import MessageTypeDef

HIDDEN_SECONDS = 600
"""Seconds for which a dead letter is hidden from other readers while it is inspected. In this time,
as many are received as SQS allows in flight.
"""

_QUIET_RECEIVES = 3  # SQS may return no messages although some exist, but rarely this often
_UNREADABLE_PART = re.compile(r"\B'[^']*'?|\[\d+\]|\b\d+")  # quoted, not an apostrophe

UNRECORDED = "asks for images that could not be recorded"
"""The cause of a dead letter that can be parsed."""


@dataclass(slots=True)
class DeadLetterCause:
    """A cause of dead letters, with its messages.

    Attributes:
        reason: The reason, without parts that differ between messages.
        messages: Number of inspected messages.
        example: One of them: its message id and the beginning of its body.
    """

    reason: str
    messages: int = 0
    example: str = ""


@dataclass(slots=True)
class Moved:
    """The result of moving dead letters back.

    Attributes:
        messages: Number of moved messages.
        left: Number of messages that stay because no worker can parse them, by reason.
        returned: Number of moved messages that came back to the dead-letter queue, and stay.
    """

    messages: int = 0
    left: Counter[str] = field(default_factory=Counter)
    returned: int = 0


class DeadLetters:
    """The dead-letter queue that a pool's queue names in its redrive policy.

    Args:
        client: A boto3 SQS client.
        queue_url: URL of the pool's queue.

    Raises:
        ConfigurationError: The queue doesn't exist or has no dead-letter queue.
        QueueUnavailableError: SQS didn't answer.
    """

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url
        with _unavailable(f"cannot read {queue_url}"):
            answer = client.get_queue_attributes(
                QueueUrl=queue_url, AttributeNames=["RedrivePolicy"]
            )
            policy = answer.get("Attributes", {}).get("RedrivePolicy")
            if not policy:
                raise ConfigurationError(f"{queue_url} has no dead-letter queue")
            self.url = dead_letter_queue_url(client, policy)

    def count(self) -> int:
        """Return SQS's approximate number of messages.

        Raises:
            QueueUnavailableError: SQS didn't answer.
        """
        with _unavailable(f"cannot read {self.url}"):
            return visible_messages(self._client, self.url)

    def causes(self, limit: int) -> list[DeadLetterCause]:
        """Return why messages are here, the most frequent cause first. They stay in the queue.

        Args:
            limit: Maximum number of messages to inspect.

        Raises:
            QueueUnavailableError: SQS didn't answer.
        """
        causes: dict[str, DeadLetterCause] = {}
        seen: list[MessageTypeDef] = []
        try:
            for batch in self._receive(limit):
                seen += batch
                for message in batch:
                    reason = what_is_wrong(message["Body"]) or UNRECORDED
                    cause = causes.setdefault(reason, DeadLetterCause(reason))
                    cause.messages += 1
                    cause.example = (
                        cause.example or f"{message['MessageId']} {message['Body'][:120]}"
                    )
        finally:
            self._show(seen)
        return sorted(causes.values(), key=lambda cause: -cause.messages)

    def move_back(self, moved: Moved, *, per_second: float | None = None) -> Iterator[int]:
        """Send each message to the pool's queue, then delete it here. A crash loses none.

        Messages that no worker can parse stay, because they would return. Those that do return
        meanwhile stay, too: otherwise they would be moved, and their detectors paid, without end.

        Args:
            moved: Counts the messages.
            per_second: Maximum number of messages per second; ``None`` for no limit.

        Yields:
            The number of further messages that were moved or left.

        Raises:
            QueueUnavailableError: SQS didn't answer.
        """
        staying: dict[str, MessageTypeDef] = {}
        sent: set[bytes] = set()
        try:
            with Sender(AwsClient(self._client), self._queue_url, per_second=per_second) as sender:
                for batch in self._receive(None, staying):
                    good = []
                    for message in batch:
                        if reason := what_is_wrong(message["Body"]):
                            moved.left[reason] += 1
                        elif _digest(message) in sent:
                            moved.returned += 1
                        else:
                            good.append(message)
                            continue
                        staying[message["MessageId"]] = message
                    for _ in sender.send(message["Body"] for message in good):
                        pass
                    sent.update(map(_digest, good))
                    self._delete(good)
                    moved.messages += len(good)
                    yield len(batch)
        finally:
            self._show(list(staying.values()))

    def _receive(
        self, limit: int | None, seen: Container[str] = ()
    ) -> Iterator["list[MessageTypeDef]"]:
        """Receive batches until none is left, without messages whose ids were seen before.

        Those were hidden for too short a time.
        """
        received = quiet = 0
        while quiet < _QUIET_RECEIVES and (limit is None or received < limit):
            wanted = BATCH if limit is None else min(BATCH, limit - received)
            with _unavailable(f"cannot receive from {self.url}"):
                answer = self._client.receive_message(
                    QueueUrl=self.url,
                    MaxNumberOfMessages=wanted,
                    WaitTimeSeconds=1,
                    VisibilityTimeout=HIDDEN_SECONDS,
                )
            batch = [one for one in answer.get("Messages", []) if one["MessageId"] not in seen]
            received += len(batch)
            quiet = 0 if batch else quiet + 1
            if batch:
                yield batch

    def _delete(self, messages: "Sequence[MessageTypeDef]") -> None:
        """Delete up to ten messages.

        Raises:
            QueueUnavailableError: Some aren't deleted, and will be moved again.
        """
        if not messages:
            return
        with _unavailable(f"{self.url} does not delete"):
            answer = self._client.delete_message_batch(
                QueueUrl=self.url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                    for number, message in enumerate(messages)
                ],
            )
        for entry in answer.get("Failed", []):
            raise QueueUnavailableError(
                f"{self.url} doesn't delete a message: {entry.get('Message')}"
            )

    def _show(self, messages: "Sequence[MessageTypeDef]") -> None:
        """Make messages visible again. On failure they become visible by themselves."""
        for start in range(0, len(messages), BATCH):
            with _unavailable(f"cannot change visibility on {self.url}"):
                self._client.change_message_visibility_batch(
                    QueueUrl=self.url,
                    Entries=[
                        {
                            "Id": str(number),
                            "ReceiptHandle": message["ReceiptHandle"],
                            "VisibilityTimeout": 0,
                        }
                        for number, message in enumerate(messages[start : start + BATCH])
                    ],
                )


def _digest(message: "MessageTypeDef") -> bytes:
    return hashlib.blake2b(message["Body"].encode(), digest_size=16).digest()


@contextmanager
def _unavailable(complaint: str) -> Iterator[None]:
    """Turn botocore's errors into ours."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] in NO_SUCH_QUEUE:
            raise ConfigurationError(
                f"{complaint}: the queue does not exist; check RETINUE_QUEUE_URL"
            ) from error
        raise QueueUnavailableError(f"{complaint}: {error}") from error


def what_is_wrong(body: str) -> str | None:
    """Return why no worker can parse a message; ``None`` if one can."""
    try:
        problems = parse(body).problems
    except MalformedEventError as error:
        problems = (str(error),)
    return _UNREADABLE_PART.sub("…", problems[0]) if problems else None
