"""Receiving messages: poll, receive, hand over; it knows a queue and nothing of images."""

from collections.abc import Callable, Sequence
from threading import Event, Thread

import structlog

from retinue_workers.intake.in_flight import InFlight
from retinue_workers.intake.sqs import BATCH, Queue, QueueUnavailableError
from retinue_workers.limits.backoff import backoff_seconds
from retinue_workers.limits.receive_gate import CircuitBreaker
from retinue_workers.work import Message

log = structlog.get_logger(__name__)


class Consumer:
    """Long-polls a queue for as long as the circuit is closed and there is room for ten more.

    Args:
        queue: What to receive from.
        in_flight: Counts the messages; received ones are added to it.
        breaker: Nothing is received while it is open.
        accept: Given the messages of each receive that brought some.
        received: Told of each receive, even one that brought nothing.
    """

    def __init__(
        self,
        queue: Queue,
        in_flight: InFlight,
        breaker: CircuitBreaker,
        accept: Callable[[Sequence[Message]], None],
        received: Callable[[Sequence[Message]], None] = lambda messages: None,  # noqa: ARG005
    ) -> None:
        """Receive nothing yet."""
        self._queue = queue
        self._in_flight = in_flight
        self._breaker = breaker
        self._accept = accept
        self._received = received
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="consumer", daemon=True)

    def start(self) -> None:
        """Receive from now on, on a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Receive no more. What a receive that is under way still brings is handed back at once."""
        self._stopping.set()
        self._breaker.shut_down()

    def stop(self, timeout_seconds: float) -> None:
        """Receive no more, and wait for a receive that is under way to end."""
        self.close()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        failures = 0
        while self._breaker.wait_closed() and not self._stopping.is_set():
            # Room for a whole batch, since ten messages cost the same call as one.
            if not self._in_flight.wait_for_room(BATCH, timeout_seconds=0.5):
                continue
            try:
                messages = self._queue.receive(BATCH)
            except QueueUnavailableError as error:
                wait = backoff_seconds(failures)
                failures += 1
                log.error("receive_failed", reason=str(error), next_try_seconds=round(wait, 1))
                self._stopping.wait(wait)
                continue
            except Exception:  # a bug must not end the loop in silence
                failures += 1
                log.exception("receive_failed")
                self._stopping.wait(backoff_seconds(failures))
                continue
            failures = 0
            self._received(messages)
            if messages:
                self._take(messages)

    def _take(self, messages: Sequence[Message]) -> None:
        """Hand received messages over, or back when the worker stops."""
        if self._stopping.is_set():
            try:
                self._queue.change_visibility(messages, 0)
            except QueueUnavailableError as error:
                log.warning("not_handed_back", messages=len(messages), reason=str(error))
            return
        self._in_flight.add(messages)
        try:
            self._accept(messages)
        except Exception:
            log.exception("accept_failed", messages=len(messages))
            self._in_flight.remove(messages)  # SQS delivers them again by itself
