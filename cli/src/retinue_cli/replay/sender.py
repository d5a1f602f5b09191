"""Send many messages to a queue, in batches, concurrently, at a limited rate."""

import asyncio
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Self

from botocore.exceptions import BotoCoreError, ClientError
from retinue_aws import AwsClient
from retinue_workers.intake.errors import QueueUnavailableError
from retinue_workers.intake.sqs import BATCH, refused_entries
from retinue_workers.limits.backoff import backoff_seconds

CONCURRENCY = 32
"""Number of concurrent calls. SQS answers in about 10 ms."""

MAX_TRIES = 6
"""Maximum number of tries per message. The waits between them add up to half a minute."""

_MAX_CALL_BYTES = 256 * 1024  # AWS's limit for all entries of a SendMessageBatch together


class Sender:
    """Sends messages to one queue, as a context manager. Not for use on an event loop.

    Args:
        client: Calls SQS over ``CONCURRENCY`` connections or more. It is closed at the end.
        url: The queue's URL.
        per_second: Maximum number of messages per second; ``None`` for no limit.
    """

    def __init__(self, client: AwsClient, url: str, *, per_second: float | None = None) -> None:
        self._client = client
        self._url = url
        self._per_second = per_second
        self._due = 0.0
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        """Return the sender."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the connections."""
        self._runner.run(self._client.aclose())
        self._runner.close()

    def send(self, bodies: Iterable[str]) -> Iterator[int]:
        """Send messages while they are produced. Return when SQS has all of them.

        Args:
            bodies: The messages. They are consumed only as fast as they can be sent.

        Yields:
            The number of further messages in SQS.

        Raises:
            QueueUnavailableError: SQS refused some messages ``MAX_TRIES`` times. It may have
                accepted others before and after them.
        """
        batches = _batches(bodies)
        while window := list(islice(batches, CONCURRENCY)):
            self._runner.run(self._send_all(window))
            yield sum(map(len, window))

    async def _send_all(self, batches: "Sequence[list[_Message]]") -> None:
        """Send batches concurrently. Start each when the rate allows it."""
        calls = []
        for batch in batches:
            if self._per_second is not None:
                now = time.monotonic()
                wait_seconds = max(0.0, self._due - now)
                self._due = now + wait_seconds + len(batch) / self._per_second
                await asyncio.sleep(wait_seconds)
            calls.append(asyncio.create_task(self._send(batch)))
        await asyncio.gather(*calls)

    async def _send(self, batch: "list[_Message]") -> None:
        """Send up to ten messages. Send those that SQS refuses again."""
        left = batch
        for tries in range(MAX_TRIES):
            if tries:
                await asyncio.sleep(backoff_seconds(tries))
            left, reason = await self._try(left)
            if not left:
                return
        raise QueueUnavailableError(f"cannot send to {self._url}: {reason}")

    def _fifo(self, message: "_Message") -> dict[str, str]:
        """Return the attributes of a message for a FIFO queue, recognised by its name.

        Each message has its own group, so that none waits for another. A message that is sent again
        because SQS didn't answer counts once. Another message with the same body counts again.
        """
        if not self._url.endswith(".fifo"):
            return {}
        return {"MessageGroupId": message.token, "MessageDeduplicationId": message.token}

    async def _try(self, batch: "list[_Message]") -> "tuple[list[_Message], str]":
        """Return the messages that SQS refused, and the reason."""
        entries = [
            {"Id": str(number), "MessageBody": message.body, **self._fifo(message)}
            for number, message in enumerate(batch)
        ]
        try:
            answer = await self._client.call(
                "SendMessageBatch", {"QueueUrl": self._url, "Entries": entries}
            )
        except (BotoCoreError, ClientError) as error:
            return batch, str(error)
        refused = refused_entries(answer.body, len(batch))
        return [batch[one.index] for one in refused], refused[0].reason if refused else ""


class _Message(NamedTuple):
    """A message to send, with a unique id."""

    body: str
    token: str


def _batches(bodies: Iterable[str]) -> Iterator[list[_Message]]:
    """Split messages into batches of ten, or one if ten are too large for a call."""
    rest = (_Message(body, uuid.uuid4().hex) for body in bodies)
    while batch := list(islice(rest, BATCH)):
        if sum(len(message.body.encode()) for message in batch) <= _MAX_CALL_BYTES:
            yield batch
        else:
            yield from ([message] for message in batch)
