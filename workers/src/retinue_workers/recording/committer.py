"""Commit to the history, and only then delete the messages."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event, Thread

import structlog
from retinue_history import (
    History,
    HistoryError,
    ImageRecord,
    RemovedObject,
    RunRecord,
    TaskKey,
)

from retinue_workers.detectors.retry_policy import redrive_seconds
from retinue_workers.intake.acknowledger import Acknowledger
from retinue_workers.intake.in_flight import InFlight
from retinue_workers.intake.sqs import Queue
from retinue_workers.limits.receive_gate import CircuitBreaker
from retinue_workers.limits.retry import ask_patiently
from retinue_workers.work import Delivery

log = structlog.get_logger(__name__)

GROUP = 100
"""Most deliveries in one transaction: enough to share its cost, few enough to hold no lock long."""

LAST_TRIES_SECONDS = 0.2
"""Longest wait between two tries to answer SQS when the worker stops."""


class Committer:
    """Writes completed deliveries, in groups of whatever has gathered, on one thread.

    Args:
        history: Where runs are kept.
        queue: Where messages are deleted, or handed back.
        in_flight: Told when a message is out of our hands.
        breaker: Tripped while the history is away.
        committed: Told of each delivery and, by run id, its runs that are new in the history.
        took: Told how many seconds each transaction took.
        closed: Told of runs that were recorded, or never will be.
    """

    def __init__(
        self,
        history: History,
        queue: Queue,
        in_flight: InFlight,
        breaker: CircuitBreaker,
        committed: Callable[[Delivery, Mapping[int, RunRecord]], None],
        took: Callable[[float], None] = lambda seconds: None,  # noqa: ARG005
        closed: Callable[[Sequence[RunRecord]], None] = lambda _: None,
    ) -> None:
        """Commit nothing yet."""
        self._history = history
        self._in_flight = in_flight
        self._acknowledger = Acknowledger(queue, in_flight, breaker)
        self._breaker = breaker
        self._committed = committed
        self._took = took
        self._closed = closed
        self._waiting: SimpleQueue[Delivery | None] = SimpleQueue()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="committer", daemon=True)

    def start(self) -> None:
        """Commit from now on, on a thread of its own."""
        self._thread.start()

    def put(self, delivery: Delivery) -> None:
        """Take a completed delivery."""
        self._waiting.put(delivery)

    def stop(self, timeout_seconds: float) -> None:
        """Commit what has been put, then stop; messages that cannot be committed stay queued."""
        if not self._thread.is_alive():
            return
        self._waiting.put(None)
        self._thread.join(timeout_seconds)
        self._stopping.set()  # wait for the history no longer
        self._thread.join(1.0)

    def _run(self) -> None:
        # No variable here: it would keep the last runs while the thread waits.
        while self._commit_next():
            pass

    def _commit_next(self) -> bool:
        """Wait for deliveries, commit them and answer for them; ``False`` at the end."""
        group = self._take()
        if group:
            try:
                self._commit(group)
            except Exception:  # a bug must not end the loop in silence; SQS delivers again
                log.exception("commit_failed", messages=len(group))
                self._in_flight.remove([delivery.message for delivery in group])
            self._closed([run for delivery in group for run in delivery.runs])
        while self._acknowledger.owing:
            if rest := self._acknowledger.rest_seconds():
                if group is not None:
                    break  # commit what comes meanwhile
                if self._stopping.wait(min(rest, LAST_TRIES_SECONDS)):
                    return False
            company = group is not None and not self._waiting.empty()
            self._acknowledger.work(full_batches=company)
            if company:  # deliveries that wait are committed first, and fill the next call
                break
        return group is not None

    def _take(self) -> list[Delivery] | None:
        """Wait for a delivery and take what else is there.

        Returns:
            An empty list when it is time to answer for earlier ones; ``None`` at the end.
        """
        group: list[Delivery] = []
        owing = self._acknowledger.owing
        while len(group) < GROUP:
            try:
                delivery = self._waiting.get(
                    block=not group, timeout=self._acknowledger.rest_seconds() if owing else None
                )
            except Empty:
                break
            if delivery is None:
                self._waiting.put(None)  # to be met again once the group is committed
                return group or None
            group.append(delivery)
        return group

    def _commit(self, group: Sequence[Delivery]) -> None:
        """Record a group; if one of it cannot be recorded, each by itself."""
        try:
            recorded = self._record(group)
        except Exception as error:  # noqa: BLE001 - logged below, for the delivery it is about
            if len(group) > 1:
                for delivery in group:
                    self._commit([delivery])
                return
            self._not_recorded(group[0], error)
        else:
            for delivery in group:
                if recorded is None:  # the worker stops while the history is away
                    delivery.hand_back(0)
                else:
                    self._committed(delivery, _new(delivery, recorded))
        for delivery in group:
            self._acknowledger.owe(delivery.message, delivery.hand_back_seconds)

    def _not_recorded(self, delivery: Delivery, error: Exception) -> None:
        message = delivery.message
        delivery.hand_back(redrive_seconds(message.receive_count))
        log.error(
            "not_recorded",
            message_id=message.message_id,
            receive_count=message.receive_count,
            reason=str(error),
            exc_info=None if isinstance(error, HistoryError) else error,  # anything else is a bug
        )

    def _record(self, group: Sequence[Delivery]) -> dict[TaskKey, int] | None:
        """Write the group, however long the history is away.

        Returns:
            The run ids of the runs that are new in the history; ``None`` if the worker stops first.
        """
        images = [image for delivery in group for image in delivery.images()]
        runs = [run for delivery in group for run in delivery.runs]
        removed = [gone for delivery in group for gone in delivery.removed]
        if not (images or runs or removed):
            return {}
        return ask_patiently(
            partial(self._write, images, runs, removed),
            breaker=self._breaker,
            stopping=self._stopping,
        )

    def _write(
        self,
        images: Sequence[ImageRecord],
        runs: Sequence[RunRecord],
        removed: Sequence[RemovedObject],
    ) -> dict[TaskKey, int]:
        """One transaction, timed."""
        began = time.monotonic()
        recorded = self._history.record(images, runs, removed)
        self._took(time.monotonic() - began)
        return recorded


def _new(delivery: Delivery, recorded: dict[TaskKey, int]) -> dict[int, RunRecord]:
    """A delivery's runs that were inserted, taken out of ``recorded``.

    Where one event was delivered twice within a group, the first was inserted.
    """
    new: dict[int, RunRecord] = {}
    for run in delivery.runs:
        run_id = recorded.pop((run.key, run.event_id), None)
        if run_id is not None:
            new[run_id] = run
    return new
