"""Commit to the history, and only then delete the messages."""

from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread

import structlog
from retinue_history import History, HistoryError, HistoryUnavailableError, RunKey, RunRecord

from retinue_workers.backoff import backoff_seconds
from retinue_workers.breaker import CircuitBreaker
from retinue_workers.delivery import Delivery
from retinue_workers.in_flight import InFlight
from retinue_workers.queue import Queue, QueueUnavailableError
from retinue_workers.verdict import redrive_seconds

log = structlog.get_logger(__name__)

GROUP = 100
"""Most deliveries in one transaction: enough to share its cost, few enough to hold no lock long."""


class Committer:
    """Writes completed deliveries, in groups of whatever has gathered, on one thread.

    Args:
        history: Where runs are kept.
        queue: Where messages are deleted, or handed back.
        in_flight: Told when a message is out of our hands.
        breaker: Tripped while the history is away.
        committed: Told of each delivery and the run keys that are new in the history.
    """

    def __init__(
        self,
        history: History,
        queue: Queue,
        in_flight: InFlight,
        breaker: CircuitBreaker,
        committed: Callable[[Delivery, Sequence[RunRecord]], None],
    ) -> None:
        """Commit from now on."""
        self._history = history
        self._queue = queue
        self._in_flight = in_flight
        self._breaker = breaker
        self._committed = committed
        self._waiting: SimpleQueue[Delivery | None] = SimpleQueue()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def put(self, delivery: Delivery) -> None:
        """Take a completed delivery."""
        self._waiting.put(delivery)

    def stop(self, timeout_seconds: float) -> None:
        """Commit what has been put, then stop; messages that cannot be committed stay queued."""
        self._waiting.put(None)
        self._thread.join(timeout_seconds)
        self._stopping.set()  # wait for the history no longer
        self._thread.join(1.0)

    def _run(self) -> None:
        while group := self._take():
            try:
                self._commit(group)
            except Exception:  # a bug must not end the loop in silence; SQS delivers again
                log.exception("commit_failed", messages=len(group))
                self._in_flight.remove([delivery.message for delivery in group])

    def _take(self) -> list[Delivery]:
        """Wait for a delivery and take what else is there; an empty list at the end."""
        group: list[Delivery] = []
        while len(group) < GROUP:
            try:
                delivery = self._waiting.get(block=not group)
            except Empty:
                break
            if delivery is None:
                self._waiting.put(None)  # to be met again once the group is committed
                break
            group.append(delivery)
        return group

    def _commit(self, group: Sequence[Delivery]) -> None:
        """Record a group; if one of it cannot be recorded, each by itself."""
        try:
            recorded = self._record(group)
        except HistoryError as error:
            if len(group) > 1:
                for delivery in group:
                    self._commit([delivery])
                return
            message = group[0].message
            group[0].hand_back(redrive_seconds(message.receive_count))
            log.error(
                "not_recorded",
                message_id=message.message_id,
                receive_count=message.receive_count,
                reason=str(error),
            )
        else:
            for delivery in group:
                if recorded is None:  # the worker stops while the history is away
                    delivery.hand_back(0)
                else:
                    self._committed(delivery, [r for r in delivery.runs if r.key in recorded])
        self._acknowledge(group)

    def _record(self, group: Sequence[Delivery]) -> set[RunKey] | None:
        """Write the group, however long the history is away; ``None`` if the worker stops first."""
        images = [image for delivery in group for image in delivery.images()]
        runs = [run for delivery in group for run in delivery.runs]
        removed = [gone for delivery in group for gone in delivery.removed]
        if not (images or runs or removed):
            return set()
        tries = 0
        while True:
            try:
                recorded = set(self._history.record(images, runs, removed))
            except HistoryUnavailableError as error:
                self._breaker.trip("history", str(error))
                if self._stopping.wait(backoff_seconds(tries)):
                    return None
                tries += 1
            else:
                self._breaker.reset("history")
                return recorded

    def _acknowledge(self, group: Sequence[Delivery]) -> None:
        """Delete what is recorded, and hand back the rest; SQS repeats whatever fails here."""
        done = [delivery.message for delivery in group if delivery.hand_back_seconds is None]
        try:
            self._queue.delete(done)
            for delivery in group:
                if delivery.hand_back_seconds is not None:
                    self._queue.change_visibility([delivery.message], delivery.hand_back_seconds)
        except QueueUnavailableError as error:
            log.warning("not_acknowledged", messages=len(group), reason=str(error))
        self._in_flight.remove([delivery.message for delivery in group])
