"""The messages that were received and not yet deleted or handed back."""

import time
from collections.abc import Sequence
from threading import Condition

from retinue_workers.work import Message


class InFlight:
    """Counts messages, so that no more are received than fit, and tells which need a heartbeat.

    Args:
        capacity: Most messages at once.
    """

    def __init__(self, capacity: int) -> None:
        """Begin with none."""
        self._capacity = capacity
        self._changed = Condition()
        self._hidden_since: dict[Message, float] = {}

    def __len__(self) -> int:
        """How many messages are in flight."""
        return len(self._hidden_since)

    def wait_for_room(self, messages: int, timeout_seconds: float) -> bool:
        """Wait until ``messages`` more fit; ``False`` if that takes longer than the timeout."""
        with self._changed:
            return self._changed.wait_for(
                lambda: len(self._hidden_since) + messages <= self._capacity, timeout_seconds
            )

    def wait_for_any(self, timeout_seconds: float) -> bool:
        """Wait until there is one; ``False`` if that takes longer than the timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._hidden_since), timeout_seconds)

    def wait_until_empty(self, timeout_seconds: float) -> bool:
        """Wait until none is left; ``False`` if that takes longer than the timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._hidden_since, timeout_seconds)

    def add(self, messages: Sequence[Message]) -> None:
        """Messages were just received."""
        now = time.monotonic()
        with self._changed:
            self._hidden_since.update(dict.fromkeys(messages, now))
            self._changed.notify_all()

    def remove(self, messages: Sequence[Message]) -> None:
        """Messages were deleted or handed back."""
        with self._changed:
            for message in messages:
                self._hidden_since.pop(message, None)
            self._changed.notify_all()

    def messages(self) -> list[Message]:
        """Those in flight now."""
        with self._changed:
            return list(self._hidden_since)

    def older_than(self, seconds: float) -> list[Message]:
        """Messages whose visibility timeout began more than ``seconds`` ago."""
        limit = time.monotonic() - seconds
        with self._changed:
            return [message for message, since in self._hidden_since.items() if since <= limit]

    def extended(self, messages: Sequence[Message], since: float) -> None:
        """The visibility timeout of these messages began anew at ``since`` (monotonic clock)."""
        with self._changed:
            for message in messages:
                if message in self._hidden_since:
                    self._hidden_since[message] = since
