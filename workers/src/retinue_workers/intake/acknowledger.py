"""Deleting messages and handing them back, until SQS has done it."""

import time
from collections import defaultdict

import structlog

from retinue_workers.intake.in_flight import InFlight
from retinue_workers.intake.sqs import BATCH, Queue, QueueUnavailableError
from retinue_workers.limits.backoff import backoff_seconds
from retinue_workers.limits.receive_gate import CircuitBreaker
from retinue_workers.work import Message

log = structlog.get_logger(__name__)

CAUSE = "queue"
"""The circuit breaker's cause while messages cannot be deleted."""

FAILURES = 3
"""After how many failures in a row the breaker opens; throttling makes one now and then."""


class Acknowledger:
    """Owes SQS an answer about each message, and tries until it is taken.

    Until it is deleted a message stays in flight, and so hidden: a delete that fails costs no
    receive, and what was recorded does not end in the dead-letter queue because SQS was busy. Not
    safe to use from several threads.

    Args:
        queue: Where messages are deleted, or handed back.
        in_flight: Told when a message is out of our hands.
        breaker: Open while nothing can be deleted.
    """

    def __init__(self, queue: Queue, in_flight: InFlight, breaker: CircuitBreaker) -> None:
        """Owe nothing."""
        self._queue = queue
        self._in_flight = in_flight
        self._breaker = breaker
        self._owed: dict[Message, int | None] = {}
        self._failures = 0
        self._not_before = 0.0

    @property
    def owing(self) -> bool:
        """Whether there is anything left to do."""
        return bool(self._owed)

    def rest_seconds(self) -> float:
        """How long to wait before the next try."""
        return max(0.0, self._not_before - time.monotonic())

    def owe(self, message: Message, hand_back_seconds: int | None) -> None:
        """Delete the message, or hand it back: visible again after ``hand_back_seconds``."""
        self._owed[message] = hand_back_seconds

    def work(self, *, full_batches: bool = False) -> None:
        """Try once, for all messages; what does not work stays owed.

        Args:
            full_batches: Delete only as many as fill their calls; the others wait for company.
        """
        reason = ""
        failed = False
        by_seconds: defaultdict[int | None, list[Message]] = defaultdict(list)
        for message, seconds in self._owed.items():
            by_seconds[seconds].append(message)
        if full_batches and None in by_seconds:
            full = len(by_seconds[None]) // BATCH * BATCH
            del by_seconds[None][full:]
        for seconds, messages in by_seconds.items():
            if not messages:
                continue
            left, why = self._try(messages, seconds)
            reason = reason or why
            failed = failed or bool(left)
            done = [message for message in messages if message not in left]
            for message in done:
                del self._owed[message]
            self._in_flight.remove(done)
        if not failed:
            self._failures = 0
            self._not_before = 0.0
            self._breaker.reset(CAUSE)
            return
        wait = backoff_seconds(self._failures)
        self._failures += 1
        self._not_before = time.monotonic() + wait
        log.warning(
            "not_acknowledged",
            messages=len(self._owed),
            reason=reason,
            next_try_seconds=round(wait, 1),
        )
        if self._failures >= FAILURES:
            self._breaker.trip(CAUSE, reason)

    def _try(self, messages: list[Message], seconds: int | None) -> tuple[set[Message], str]:
        """Those for which it did not work, and why."""
        try:
            if seconds is None:
                self._queue.delete(messages)
            else:
                self._in_flight.remove(messages)  # no heartbeat may hide them again
                self._queue.change_visibility(messages, seconds)
        except QueueUnavailableError as error:
            return set(error.messages or messages), str(error)
        except Exception:  # a bug would happen again: SQS delivers them again by itself
            log.exception("not_acknowledged", messages=len(messages))
        return set(), ""
