"""Send events in batches on a separate thread, without delaying the worker."""

import logging
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from retinue_eventbridge.event import MAX_ENTRY_BYTES, entry_bytes
from retinue_eventbridge.options import PublisherOptions

if TYPE_CHECKING:
    from types_boto3_events import EventBridgeClient

log = logging.getLogger(__name__)

MAX_ENTRIES = 10
"""Maximum number of entries in a PutEvents (API reference, PutEvents)."""

BASE_SECONDS = 0.2
CAP_SECONDS = 30.0
"""Wait between tries: uniform between 0 and ``min(CAP, BASE * 2 ** tries)``, "Exponential Backoff
And Jitter" (AWS Architecture Blog, 2015).
"""


@dataclass(slots=True)
class _Waiting:
    entry: dict[str, Any]
    size_bytes: int
    tries: int = 0


class Publisher:
    """Holds events until EventBridge has accepted them, or until they have been sent often enough.

    Args:
        client: A boto3 client for EventBridge.
        options: The maximum number of waiting events, and of tries.
    """

    def __init__(self, client: "EventBridgeClient", options: PublisherOptions) -> None:
        self._client = client
        self._options = options
        self._changed = Condition()
        self._waiting: deque[_Waiting] = deque()
        self._at_work = 0
        self._failures = 0
        self._closing_by: float | None = None
        self.sent = 0
        self.lost = 0
        self._thread = Thread(target=self._run, name="eventbridge", daemon=True)
        self._thread.start()

    def put(self, entry: dict[str, Any]) -> None:
        """Add an event, without waiting. If too many wait, drop the oldest."""
        with self._changed:
            if len(self._waiting) >= self._options.max_waiting:
                self._waiting.popleft()
                self._lose(1, "too many events wait")
            self._waiting.append(_Waiting(entry, entry_bytes(entry)))
            self._changed.notify_all()

    def close(self, timeout_seconds: float) -> None:
        """Send waiting events within the time limit. Drop and count the rest."""
        with self._changed:
            self._closing_by = time.monotonic() + timeout_seconds
            self._changed.notify_all()
        self._thread.join(timeout_seconds)
        with self._changed:
            left = len(self._waiting) + self._at_work
            if left:
                self._lose(left, "the worker stopped before they were sent")
            self._waiting.clear()

    def _lose(self, number: int, reason: str) -> None:
        """Count dropped events, with the lock held. Log each power of two."""
        before, self.lost = self.lost, self.lost + number
        if self.lost.bit_length() > before.bit_length():
            log.error("events lost so far: %d (%s); the history has every run", self.lost, reason)

    def _run(self) -> None:
        while batch := self._take():
            wait = self._send(batch)
            with self._changed:
                self._at_work = 0
                if wait:
                    self._changed.wait_for(lambda: self._closing_by is not None, timeout=wait)

    def _take(self) -> list[_Waiting]:
        """Wait for events, and take as many as fit into a request; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing_by is not None)
            if self._closing_by is not None and time.monotonic() >= self._closing_by:
                return []
            batch: list[_Waiting] = []
            size_bytes = 0
            while self._waiting and len(batch) < MAX_ENTRIES:
                size_bytes += self._waiting[0].size_bytes
                if batch and size_bytes > MAX_ENTRY_BYTES:
                    break
                batch.append(self._waiting.popleft())
            self._at_work = len(batch)
            return batch

    def _send(self, batch: Sequence[_Waiting]) -> float:
        """Send a batch. Return the wait before the next one, in seconds."""
        try:
            entries: Any = [one.entry for one in batch]
            answer = self._client.put_events(Entries=entries)
            results: list[Any] = list(answer["Entries"])
        except Exception as error:  # noqa: BLE001 - boto3 may raise anything
            reason = f"{type(error).__name__}: {error}"
            refused = list(batch)
        else:
            refused = [
                one for one, result in zip(batch, results, strict=False) if "ErrorCode" in result
            ]
            reasons = {
                f"{result['ErrorCode']}: {result.get('ErrorMessage', '')}"
                for result in results
                if "ErrorCode" in result
            }
            reason = "; ".join(sorted(reasons))
        self.sent += len(batch) - len(refused)
        if not refused:
            if self._failures:
                log.info("EventBridge takes events again")
            self._failures = 0
            return 0.0
        if not self._failures:
            log.warning("EventBridge did not take %d events: %s", len(refused), reason)
        self._failures += 1
        self._retry(refused, reason)
        ceiling = min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(self._failures, 20))
        return random.uniform(0.0, ceiling)  # noqa: S311 - spreads load, no secret

    def _retry(self, refused: Sequence[_Waiting], reason: str) -> None:
        """Return events to their positions, except those that were sent often enough."""
        with self._changed:
            for one in reversed(refused):
                one.tries += 1
                full = len(self._waiting) >= self._options.max_waiting
                if full or one.tries >= self._options.max_tries:
                    self._lose(1, reason)
                else:
                    self._waiting.appendleft(one)
