"""The SQS queue of a pool, as coroutines."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from retinue_aws import is_misconfigured
from retinue_sdk import ConfigurationError

from retinue_workers.intake.errors import QueueUnavailableError
from retinue_workers.work import Message

if TYPE_CHECKING:
    from retinue_aws import AwsClient

log = structlog.get_logger(__name__)

BATCH = 10
"""Maximum number of messages in one call of SQS."""

NO_SUCH_QUEUE = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
"""Error codes of a queue that doesn't exist."""


_NO_ADDRESS = {"InvalidAddress", "AWS.SimpleQueueService.InvalidAddress"}


class Queue(Protocol):
    """The interface of a queue. ``SqsQueue`` implements it in production, a fake in tests."""

    @property
    def arn(self) -> str:
        """Return the queue's ARN, which names the pool."""

    @property
    def max_receive_count(self) -> int | None:
        """Return the number of receives before the dead-letter queue; ``None`` without one."""

    async def receive(self, limit: int) -> list[Message]:
        """Wait for up to ``limit`` messages (1–10) for the queue's long-poll time.

        Raises:
            QueueUnavailableError: The queue doesn't answer now.
        """

    async def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages permanently.

        Raises:
            QueueUnavailableError: Some messages, named in the error, aren't deleted.
        """

    async def change_visibility(self, messages: Sequence[Message], seconds: int) -> None:
        """Hide messages for ``seconds`` from now (0–43,200); 0 makes them visible immediately.

        A message that is no longer in flight is unchanged.

        Raises:
            QueueUnavailableError: Some messages, named in the error, are unchanged.
        """


class SqsQueue:
    """A queue in SQS, or in a service with its protocol.

    Args:
        client: Calls SQS.
        url: The queue's URL.
        wait_seconds: Long-poll time of a receive, 0–20.
        visibility_timeout_seconds: How long received messages are hidden.
        polling_client: Calls SQS for receives, which take long; ``client`` by default.
    """

    def __init__(
        self,
        client: "AwsClient",
        url: str,
        *,
        wait_seconds: int,
        visibility_timeout_seconds: int,
        polling_client: "AwsClient | None" = None,
    ) -> None:
        self._client = client
        self._polling_client = polling_client or client
        self._url = url
        self._wait_seconds = wait_seconds
        self._visibility_timeout_seconds = visibility_timeout_seconds
        self._arn = url
        self._max_receive_count: int | None = None

    @property
    def arn(self) -> str:
        """Return the queue's ARN, or its URL if the service reports none."""
        return self._arn

    @property
    def max_receive_count(self) -> int | None:
        """Return the number of receives before the dead-letter queue; ``None`` without one."""
        return self._max_receive_count

    async def connect(self) -> None:
        """Read the queue's ARN and redrive policy.

        Raises:
            ConfigurationError: The queue doesn't exist, or AWS's configuration is invalid.
            QueueUnavailableError: The queue doesn't answer now.
        """
        try:
            answer = await self._client.call(
                "GetQueueAttributes",
                {"QueueUrl": self._url, "AttributeNames": ["QueueArn", "RedrivePolicy"]},
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in NO_SUCH_QUEUE:
                raise ConfigurationError(
                    f"RETINUE_QUEUE_URL names a queue that does not exist: {self._url}"
                ) from error
            if code in _NO_ADDRESS:
                raise ConfigurationError(
                    f"RETINUE_QUEUE_URL is not the URL of a queue in this region: {self._url}"
                ) from error
            raise QueueUnavailableError(f"cannot read {self._url}: {error}") from error
        except BotoCoreError as error:
            if is_misconfigured(error):
                raise ConfigurationError(f"cannot read {self._url}: {error}") from error
            raise QueueUnavailableError(f"cannot read {self._url}: {error}") from error
        try:
            attributes = answer.body.get("Attributes") or {}
            self._arn = str(attributes.get("QueueArn") or self._url)
            policy = attributes.get("RedrivePolicy")
            self._max_receive_count = int(json.loads(policy)["maxReceiveCount"]) if policy else None
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise QueueUnavailableError(f"{self._url}: unreadable answer: {answer.body}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._polling_client.aclose()

    async def receive(self, limit: int) -> list[Message]:
        """Long-poll once for up to ``limit`` messages (1–10)."""
        try:
            answer = await self._polling_client.call(
                "ReceiveMessage",
                {
                    "QueueUrl": self._url,
                    "MaxNumberOfMessages": limit,
                    "WaitTimeSeconds": self._wait_seconds,
                    "VisibilityTimeout": self._visibility_timeout_seconds,
                    "MessageSystemAttributeNames": ["ApproximateReceiveCount", "SentTimestamp"],
                },
            )
        except (BotoCoreError, ClientError) as error:
            raise QueueUnavailableError(f"cannot receive from {self._url}: {error}") from error
        received = answer.body.get("Messages", None if answer.body else [])
        if not isinstance(received, list):
            raise QueueUnavailableError(f"{self._url}: unreadable answer to a receive")
        messages = [message for one in received if (message := _message(one)) is not None]
        if received and not messages:
            raise QueueUnavailableError(f"{self._url}: unreadable messages: {received[0]}")
        if len(messages) < len(received):  # SQS delivers the others again
            log.error("messages_unreadable", number=len(received) - len(messages))
        return messages

    async def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages, ten per call."""
        await self._for_each_ten("DeleteMessageBatch", messages, {}, f"{self._url} does not delete")

    async def change_visibility(self, messages: Sequence[Message], seconds: int) -> None:
        """Hide messages for ``seconds`` (0–43,200), ten per call."""
        await self._for_each_ten(
            "ChangeMessageVisibilityBatch",
            messages,
            {"VisibilityTimeout": seconds},
            f"cannot change visibility on {self._url}",
        )

    async def _for_each_ten(
        self, operation: str, messages: Sequence[Message], fields: Mapping[str, Any], complaint: str
    ) -> None:
        """Make one call for each ten messages. A refused call doesn't stop the others.

        Raises:
            QueueUnavailableError: It failed for some messages, and may succeed later.
        """
        failed: list[Message] = []
        reason = ""
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            try:
                answer = await self._client.call(
                    operation,
                    {
                        "QueueUrl": self._url,
                        "Entries": [
                            {"Id": str(number), "ReceiptHandle": message.receipt_handle, **fields}
                            for number, message in enumerate(batch)
                        ],
                    },
                )
            except ClientError as error:  # possibly throttled: the next call may succeed
                failed += batch
                reason = str(error)
            except BotoCoreError as error:
                # No answer: another call would take as long.
                failed += messages[start:]
                reason = str(error)
                break
            else:
                for refused in refused_entries(answer.body, len(batch)):
                    message = batch[refused.index]
                    if not refused.is_final:
                        failed.append(message)
                        reason = refused.reason
                    elif not message.is_expired:  # each heartbeat would log it again
                        message.is_expired = True
                        log.info("receipt_expired", reason=refused.reason)
        if failed:
            raise QueueUnavailableError(f"{complaint}: {reason}", failed)


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """An entry of a batch that SQS didn't carry out.

    Attributes:
        index: Its index in the batch, which is also its id.
        reason: Why SQS refused it.
        is_final: Whether SQS reports that a retry is useless.
    """

    index: int
    reason: str
    is_final: bool


def refused_entries(answer: Mapping[str, Any], size: int) -> list[RefusedEntry]:
    """Return the entries of a batch that SQS doesn't confirm, in their order.

    Args:
        answer: SQS's answer to a batch whose ids are its entries' indexes.
        size: Number of entries in the batch.
    """
    done = _by_index(answer.get("Successful"))
    failed = _by_index(answer.get("Failed"))
    return [
        RefusedEntry(
            index,
            f"{entry.get('Code')} {entry.get('Message', '')}".strip()
            if (entry := failed.get(index))
            else "SQS does not confirm it",
            is_final=bool(entry and entry.get("SenderFault")),
        )
        for index in range(size)
        if index not in done
    ]


def _by_index(entries: object) -> dict[int, Mapping[str, Any]]:
    return {
        int(entry["Id"]): entry
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and str(entry.get("Id")).isdecimal()
    }


def _message(received: Any) -> Message | None:
    """Return a message, or ``None`` if the value isn't one."""
    try:
        message_id, body = received["MessageId"], received["Body"]
        receipt_handle = received["ReceiptHandle"]
        attributes = received["Attributes"]
        receive_count = int(attributes["ApproximateReceiveCount"])
        sent_ms = attributes.get("SentTimestamp")
        sent_at = None if sent_ms is None else int(sent_ms) / 1_000
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    is_text = isinstance(message_id, str) and isinstance(body, str)
    if not is_text or not isinstance(receipt_handle, str):
        return None
    return Message(message_id, receipt_handle, body, receive_count, sent_at)
