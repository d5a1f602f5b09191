"""Many messages into a queue: ten a call, several calls at once, none lost, no faster than told."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from retinue_aws import JsonCalls
from retinue_workers.intake.sqs import BATCH, QueueUnavailableError
from retinue_workers.limits.backoff import backoff_seconds

THREADS = 8
"""Calls at once: SQS answers in some 10 ms."""

MAX_TRIES = 6
"""How often a message is sent before it is given up; the waits between add up to half a minute."""

_MAX_CALL_BYTES = 256 * 1024  # what all entries of a SendMessageBatch may hold together, by AWS
_MAX_WAITING = 4 * THREADS


class Sender:
    """Sends messages to one queue.

    Args:
        calls: Calls of SQS, by a client that was made for at least ``THREADS`` connections.
        url: The queue's URL.
        per_second: Most messages a second; ``None`` for as fast as it goes.
    """

    def __init__(self, calls: JsonCalls, url: str, *, per_second: float | None = None) -> None:
        """Send nothing yet."""
        self._calls = calls
        self._url = url
        self._per_second = per_second

    def send(self, bodies: Iterable[str]) -> Iterator[int]:
        """Send messages while they are being made; returns once SQS has all of them.

        Args:
            bodies: The messages; taken only as fast as they can be sent.

        Yields:
            How many more SQS has taken since the last time.

        Raises:
            QueueUnavailableError: SQS did not take some, though asked ``MAX_TRIES`` times. Others
                may have been taken before and after them.
        """
        started = time.monotonic()
        begun = 0
        with ThreadPoolExecutor(THREADS, thread_name_prefix="send") as pool:
            waiting: set[Future[int]] = set()
            for batch in _batches(bodies):
                self._pace(started, begun)
                begun += len(batch)
                waiting.add(pool.submit(self._send, batch))
                if len(waiting) >= _MAX_WAITING:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield sum(future.result() for future in done)
            for future in waiting:
                yield future.result()

    def _pace(self, started: float, begun: int) -> None:
        """Wait until so many may have been begun."""
        if self._per_second is not None:
            time.sleep(max(0.0, started + begun / self._per_second - time.monotonic()))

    def _send(self, batch: list[str]) -> int:
        """Send up to ten messages; those that SQS does not take are tried again."""
        left = batch
        for tries in range(MAX_TRIES):
            if tries:
                time.sleep(backoff_seconds(tries))
            left, reason = self._try(left)
            if not left:
                return len(batch)
        raise QueueUnavailableError(f"{self._url} does not take messages: {reason}")

    def _try(self, batch: list[str]) -> tuple[list[str], str]:
        """Those that were not taken, and why."""
        try:
            answer = self._calls.call(
                "SendMessageBatch",
                {
                    "QueueUrl": self._url,
                    "Entries": [
                        {"Id": str(number), "MessageBody": body}
                        for number, body in enumerate(batch)
                    ],
                },
            )
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            return batch, str(error)
        failed = answer.body.get("Failed", [])
        reason = "; ".join(f"{entry['Code']} {entry.get('Message', '')}" for entry in failed[:1])
        return [batch[int(entry["Id"])] for entry in failed], reason


def _batches(bodies: Iterable[str]) -> Iterator[list[str]]:
    """Ten messages each, fewer where ten would be too large for a call."""
    rest = iter(bodies)
    while batch := list(islice(rest, BATCH)):
        if sum(len(body.encode()) for body in batch) <= _MAX_CALL_BYTES:
            yield batch
        else:
            yield from ([body] for body in batch)
