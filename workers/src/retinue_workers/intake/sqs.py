"""The SQS queue of a pool."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from retinue_aws import JsonCalls
from retinue_sdk import ConfigurationError

from retinue_workers.work import Message

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

log = structlog.get_logger(__name__)

BATCH = 10
"""Most messages in one SQS call."""

_GONE = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}


class QueueUnavailableError(Exception):
    """The queue did not answer, or refused; the message says why. Messages are safe in it.

    Attributes:
        messages: Those of the call about which it did nothing.
    """

    def __init__(self, reason: str, messages: Sequence[Message] = ()) -> None:
        super().__init__(reason)
        self.messages = tuple(messages)


class Queue(Protocol):
    """What a worker asks of a queue."""

    @property
    def max_receive_count(self) -> int | None:
        """After how many receives a message goes to the dead-letter queue; ``None`` for never."""

    def receive(self, limit: int) -> list[Message]:
        """Wait a while for messages.

        Args:
            limit: Most messages to take, 1 to 10.

        Raises:
            QueueUnavailableError: None can be had now.
        """

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages for good.

        Raises:
            QueueUnavailableError: Some are not deleted; it names them. The others are.
        """

    def change_visibility(self, messages: Sequence[Message], seconds: int) -> None:
        """Hide messages for ``seconds`` from now (0–43,200); 0 hands them back at once.

        A message that is not in flight any more is left as it is.

        Raises:
            QueueUnavailableError: Some are as they were; it names them. The others are hidden.
        """


class SqsQueue:
    """A queue on SQS, or on anything that speaks its protocol.

    Args:
        client: A boto3 SQS client.
        url: The queue's URL.
        wait_seconds: Long-poll time of a receive, 0–20.
        visibility_timeout_seconds: How long received messages are hidden.
        polling_client: Another client for receives, which take their time; ``client`` by default.
    """

    def __init__(
        self,
        client: "SQSClient",
        url: str,
        *,
        wait_seconds: int,
        visibility_timeout_seconds: int,
        polling_client: "SQSClient | None" = None,
    ) -> None:
        """Ask the queue for its redrive policy.

        Raises:
            ConfigurationError: There is no such queue.
            QueueUnavailableError: The queue did not answer.
        """
        self._client = client
        self._calls = JsonCalls(client)
        self._polls = self._calls if polling_client is None else JsonCalls(polling_client)
        self._url = url
        self._wait_seconds = wait_seconds
        self._visibility_timeout_seconds = visibility_timeout_seconds
        self._max_receive_count = self._read_max_receive_count()

    @property
    def max_receive_count(self) -> int | None:
        """After how many receives a message goes to the dead-letter queue; ``None`` for never."""
        return self._max_receive_count

    def receive(self, limit: int) -> list[Message]:
        """Long-poll once for up to ``limit`` messages (1–10)."""
        try:
            answer = self._polls.call(
                "ReceiveMessage",
                {
                    "QueueUrl": self._url,
                    "MaxNumberOfMessages": limit,
                    "WaitTimeSeconds": self._wait_seconds,
                    "VisibilityTimeout": self._visibility_timeout_seconds,
                    "MessageSystemAttributeNames": ["ApproximateReceiveCount", "SentTimestamp"],
                },
            )
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            raise QueueUnavailableError(f"cannot receive from {self._url}: {error}") from error
        return [_message(message) for message in answer.body.get("Messages") or ()]

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages, ten a call."""
        self._for_each_ten("DeleteMessageBatch", messages, {}, f"{self._url} does not delete")

    def change_visibility(self, messages: Sequence[Message], seconds: int) -> None:
        """Hide messages for ``seconds`` (0–43,200), ten a call."""
        self._for_each_ten(
            "ChangeMessageVisibilityBatch",
            messages,
            {"VisibilityTimeout": seconds},
            f"cannot change visibility on {self._url}",
        )

    def _for_each_ten(
        self, operation: str, messages: Sequence[Message], wanted: Mapping[str, Any], complaint: str
    ) -> None:
        """Call with ten messages at a time; ten that fail keep no others from their turn.

        Raises:
            QueueUnavailableError: For some it did not work, and may work later.
        """
        left: list[Message] = []
        reason = ""
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            try:
                answer = self._calls.call(
                    operation,
                    {
                        "QueueUrl": self._url,
                        "Entries": [
                            {"Id": str(number), "ReceiptHandle": message.receipt_handle, **wanted}
                            for number, message in enumerate(batch)
                        ],
                    },
                )
            except ClientError as error:  # throttled, perhaps: the next call may be let through
                left += batch
                reason = str(error)
            except (
                BotoCoreError,
                ResponseParserError,
            ) as error:  # nobody answers: another call would only take as long
                left += messages[start:]
                reason = str(error)
                break
            else:
                for entry in answer.body.get("Failed") or ():
                    said = f"{entry['Code']} {entry.get('Message', '')}".strip()
                    if entry.get("SenderFault"):  # its handle is no good any more, and will not be
                        log.info("receipt_expired", reason=said)
                    else:
                        left.append(batch[int(entry["Id"])])
                        reason = said
        if left:
            raise QueueUnavailableError(f"{complaint}: {reason}", left)

    def _read_max_receive_count(self) -> int | None:
        """``maxReceiveCount`` of the queue's redrive policy."""
        try:
            answer = self._client.get_queue_attributes(
                QueueUrl=self._url, AttributeNames=["RedrivePolicy"]
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                raise ConfigurationError(
                    f"RETINUE_QUEUE_URL names a queue that does not exist: {self._url}"
                ) from error
            raise QueueUnavailableError(f"cannot ask {self._url}: {error}") from error
        except (BotoCoreError, ValueError) as error:  # ValueError: not a URL at all
            raise QueueUnavailableError(f"cannot ask {self._url}: {error}") from error
        policy = answer.get("Attributes", {}).get("RedrivePolicy")
        return int(json.loads(policy)["maxReceiveCount"]) if policy else None


def _message(received: Mapping[str, Any]) -> Message:
    attributes = received["Attributes"]
    sent_ms = attributes.get("SentTimestamp")
    return Message(
        message_id=received["MessageId"],
        receipt_handle=received["ReceiptHandle"],
        body=received["Body"],
        receive_count=int(attributes["ApproximateReceiveCount"]),
        sent_at=None if sent_ms is None else int(sent_ms) / 1_000,
    )
