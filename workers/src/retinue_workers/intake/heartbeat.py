"""Keeping the messages in flight hidden for as long as they are worked on."""

import time
from collections.abc import Collection, Sequence
from threading import Event, Thread

import structlog

from retinue_workers.intake.in_flight import InFlight
from retinue_workers.intake.sqs import Queue, QueueUnavailableError
from retinue_workers.limits.receive_gate import CircuitBreaker
from retinue_workers.work import Message

log = structlog.get_logger(__name__)

CAUSE = "heartbeat"
"""The circuit breaker's cause while messages reappear that are still worked on."""


class Heartbeat:
    """Extends, now and then, the visibility of messages that have been in flight for long.

    Args:
        queue: Where the messages come from.
        in_flight: Which they are.
        breaker: Open while SQS extends so little that messages reappear: who received them again
            would do the same work twice, and burn their receives.
        interval_seconds: How long a message is left alone after a receive or an extension.
        visibility_timeout_seconds: How long an extension lasts.
    """

    def __init__(
        self,
        queue: Queue,
        in_flight: InFlight,
        breaker: CircuitBreaker,
        *,
        interval_seconds: float,
        visibility_timeout_seconds: int,
    ) -> None:
        """Do not beat yet."""
        self._queue = queue
        self._in_flight = in_flight
        self._breaker = breaker
        self._interval_seconds = interval_seconds
        self._visibility_timeout_seconds = visibility_timeout_seconds
        self._stopping = Event()
        self._thread = Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Beat from now on, on a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=0.2)  # it may be in the middle of a call

    def _beat(self) -> None:
        # A tick of half the interval extends each message before 1.5 intervals have passed, which
        # the settings keep under the visibility timeout.
        # Older than this after a beat, a message may have reappeared before the next.
        limit = self._visibility_timeout_seconds - self._interval_seconds / 2
        while not self._stopping.wait(self._interval_seconds / 2):
            reason = self._extend(self._in_flight.older_than(self._interval_seconds))
            if self._in_flight.older_than(limit):
                self._breaker.trip(CAUSE, f"messages reappear while worked on: {reason}")
            else:
                self._breaker.reset(CAUSE)

    def _extend(self, messages: Sequence[Message]) -> str:
        """Hide messages for longer; returns what went wrong, if anything."""
        if not messages:
            return ""
        reason = ""
        left: Collection[Message] = ()
        now = time.monotonic()
        try:
            self._queue.change_visibility(messages, self._visibility_timeout_seconds)
        except QueueUnavailableError as error:
            left, reason = set(error.messages or messages), str(error)
            log.warning("heartbeat_failed", messages=len(left), reason=reason)
        except Exception as error:
            left, reason = messages, str(error)
            log.exception("heartbeat_failed", messages=len(left))
        self._in_flight.extended([each for each in messages if each not in left], now)
        return reason
