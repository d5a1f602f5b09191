"""SQS in memory."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from threading import RLock

from retinue_workers.intake.errors import QueueUnavailableError
from retinue_workers.intake.sqs import BATCH
from retinue_workers.work import Message

MAX_VISIBILITY_SECONDS = 43_200


class Clock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def fast(times: float) -> Callable[[], float]:
    """Return a clock on which a second passes in ``1 / times`` seconds."""
    return lambda: time.monotonic() * times


@dataclass(slots=True)
class _Stored:
    """A message as the queue keeps it."""

    message_id: str
    body: str
    visible_at: float
    receives: int = 0
    handle: str = ""


class MemoryQueue:
    """A standard queue: visibility timeout, receive count, receipt handles, dead letters.

    Like SQS: a message is moved to the dead-letter queue instead of being received once more than
    ``max_receive_count``; only the handle of the latest receive deletes or hides; a delete whose
    handle is old succeeds and does nothing; hiding a message that is visible again is refused for
    that message alone.

    Args:
        visibility_timeout_seconds: How long a received message is hidden.
        max_receive_count: Of the redrive policy; ``None`` for no dead-letter queue.
        wait_seconds: Long-poll time of a receive, in real seconds.
        clock: What visibility is measured by, in seconds.
        journal: Gets a line for each effect, ``"delete <message id>"`` among them.

    Attributes:
        unavailable: While set, every call raises ``QueueUnavailableError`` with this text.
        refuse_deletes: In how many calls of ``delete`` the first ten fail from now on.
        refuse_extensions: How many calls of ``change_visibility`` fail from now on.
        receives: How many calls of ``receive`` there have been.
    """

    def __init__(
        self,
        *,
        visibility_timeout_seconds: float = 120,
        max_receive_count: int | None = 5,
        wait_seconds: float = 0.05,
        clock: Callable[[], float] = time.monotonic,
        journal: list[str] | None = None,
    ) -> None:
        self.visibility_timeout_seconds = visibility_timeout_seconds
        self.unavailable: str | None = None
        self.refuse_deletes = 0
        self.refuse_extensions = 0
        self.receives = 0
        self.journal = [] if journal is None else journal
        self._max_receive_count = max_receive_count
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._lock = RLock()
        self._numbers = count(1)
        self._stored: dict[str, _Stored] = {}
        self._dead: list[_Stored] = []

    @property
    def arn(self) -> str:
        return "arn:aws:sqs:eu-central-1:123456789012:images"

    @property
    def max_receive_count(self) -> int | None:
        return self._max_receive_count

    def send(self, body: str) -> str:
        """Put a message in; returns its id."""
        with self._lock:
            message_id = f"message-{next(self._numbers)}"
            self._stored[message_id] = _Stored(message_id, body, self._clock())
            return message_id

    async def receive(self, limit: int) -> list[Message]:
        assert 1 <= limit <= 10, "SQS gives 1 to 10 messages"
        deadline = time.monotonic() + self._wait_seconds
        self.receives += 1
        while True:
            self._check_available()
            received = self._receive(limit)
            left = deadline - time.monotonic()
            if received or left <= 0:
                return received
            await asyncio.sleep(min(left, 0.01))

    async def delete(self, messages: Sequence[Message]) -> None:
        with self._lock:
            if messages:
                self._check_available(messages)
            left: Sequence[Message] = ()
            if messages and self.refuse_deletes > 0:
                self.refuse_deletes -= 1
                left = messages[:BATCH]
            for message in messages[len(left) :]:
                stored = self._latest(message)
                if stored is not None:
                    del self._stored[stored.message_id]
                    self.journal.append(f"delete {stored.message_id}")
            if left:
                raise QueueUnavailableError("deletes fail", left)

    async def change_visibility(self, messages: Sequence[Message], seconds: int) -> None:
        assert 0 <= seconds <= MAX_VISIBILITY_SECONDS, "SQS refuses this visibility timeout"
        with self._lock:
            if messages:
                self._check_available(messages)
            if messages and self.refuse_extensions > 0:
                self.refuse_extensions -= 1
                raise QueueUnavailableError("extensions fail", messages)
            for message in messages:
                stored = self._latest(message)
                if stored is not None and stored.visible_at > self._clock():
                    stored.visible_at = self._clock() + seconds
                    self.journal.append(f"hide {stored.message_id} {seconds}")

    def visible(self) -> int:
        """Return how many messages could be received now (``ApproximateNumberOfMessages``)."""
        with self._lock:
            now = self._clock()
            return sum(stored.visible_at <= now for stored in self._stored.values())

    def hidden(self) -> int:
        """Return how many are in flight (``ApproximateNumberOfMessagesNotVisible``)."""
        with self._lock:
            now = self._clock()
            return sum(stored.visible_at > now for stored in self._stored.values())

    def empty(self) -> bool:
        """Return whether it holds no message, neither visible nor hidden."""
        with self._lock:
            return not self._stored

    def receive_counts(self) -> dict[str, int]:
        """Receive counts of the messages it holds."""
        with self._lock:
            return {stored.message_id: stored.receives for stored in self._stored.values()}

    def dead_letters(self) -> list[str]:
        """Bodies in the dead-letter queue."""
        with self._lock:
            return [stored.body for stored in self._dead]

    def reappear(self) -> None:
        """End every visibility timeout now, as if the worker that held the messages had died."""
        with self._lock:
            for stored in self._stored.values():
                stored.visible_at = self._clock()

    def _receive(self, limit: int) -> list[Message]:
        with self._lock:
            return self._receive_now(limit)

    def _receive_now(self, limit: int) -> list[Message]:
        now = self._clock()
        received: list[Message] = []
        for stored in list(self._stored.values()):
            if len(received) == limit:
                break
            if stored.visible_at > now:
                continue
            if self._max_receive_count is not None and stored.receives >= self._max_receive_count:
                self._dead.append(self._stored.pop(stored.message_id))
                self.journal.append(f"dead {stored.message_id}")
                continue
            stored.receives += 1
            stored.visible_at = now + self.visibility_timeout_seconds
            stored.handle = f"{stored.message_id}#{stored.receives}"
            received.append(Message(stored.message_id, stored.handle, stored.body, stored.receives))
        return received

    def _latest(self, message: Message) -> _Stored | None:
        stored = self._stored.get(message.message_id)
        return stored if stored and stored.handle == message.receipt_handle else None

    def _check_available(self, messages: Sequence[Message] = ()) -> None:
        if self.unavailable is not None:
            raise QueueUnavailableError(self.unavailable, messages)
