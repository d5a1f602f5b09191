"""Commit deliveries in groups, and announce their new runs."""

import time
from collections.abc import Mapping, Sequence

import structlog
from retinue_history import History, HistoryUnavailableError, RunRecord, TaskKey
from retinue_sdk import ImageReference
from structlog.typing import FilteringBoundLogger

from retinue_workers.limits.batching import Batcher
from retinue_workers.limits.budget import Budget
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.retry import retry_until_available
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.ops.metrics import Metrics
from retinue_workers.recording.observers import Observers, as_run
from retinue_workers.work import Delivery

log = structlog.get_logger(__name__)

GROUP = 100
"""Maximum number of deliveries in a transaction: enough to share its cost, few for short locks."""

EXTRA = 1
"""How many full groups are committed beside another group. While one waits for the database, the
other is prepared. With one at a time, up to 460 of 768 messages waited for their commit.
"""


class Committer:
    """Commits all deliveries that gathered during the last transaction in one transaction.

    A full group doesn't wait for the last transaction.

    Args:
        history: Stores the runs.
        threads: Run calls of the history.
        gate: Closed for ``history`` while the database is unavailable.
        budget: Receives the recorded runs.
        metrics: Count and time commits.
        observers: Receive new runs.
    """

    def __init__(
        self,
        history: History,
        threads: DaemonThreads,
        gate: ReceiveGate,
        *,
        budget: Budget,
        metrics: Metrics,
        observers: Observers,
    ) -> None:
        self._history = history
        self._threads = threads
        self._gate = gate
        self._budget = budget
        self._metrics = metrics
        self._observers = observers
        self._log = log.bind()  # without the proxy, which looks up its method for each line
        self._commits = Batcher(self._commit, limit=GROUP, extra=EXTRA)

    async def commit(self, delivery: Delivery) -> None:
        """Commit a delivery, and announce its new runs. Wait while the database is unavailable.

        Raises:
            Exception: The database rejects this delivery. The others are committed.
        """
        new: Mapping[int, RunRecord] = {}
        try:
            if delivery.images or delivery.removed or delivery.runs or delivery.jobs:
                new = await self._commits.submit(delivery)
        finally:
            self._budget.record(delivery.runs)
        await self._announce(delivery, new)

    async def _commit(
        self, deliveries: Sequence[Delivery]
    ) -> Sequence[Mapping[int, RunRecord] | Exception]:
        """Commit a group in one transaction. After an error, commit smaller groups.

        The group may exceed the time limit, or one of its deliveries may be the cause.
        """
        results: list[Mapping[int, RunRecord] | Exception] = []
        size = len(deliveries)

        async def write() -> Sequence[Mapping[int, RunRecord]]:
            nonlocal size
            part = deliveries[len(results) :][: max(size, 1)]
            try:
                recorded = await self._write(part)
            except Exception:
                size = len(part) // 2  # 0: it can no longer be divided
                raise
            new = [_new_runs(delivery, recorded) for delivery in part]
            runs = [run for each in new for run in each.values() if run.outcome != "skipped"]
            self._metrics.committed(runs)
            return new

        while len(results) < len(deliveries):
            try:
                results += await retry_until_available(
                    write,
                    unavailable=HistoryUnavailableError,
                    event="history_unavailable",
                    gate=self._gate,
                    cause="history",
                )
            except Exception as error:  # noqa: BLE001 - raised where the delivery comes from
                if size == 0:
                    results.append(error)
        return results

    async def _write(self, deliveries: Sequence[Delivery]) -> dict[TaskKey, int]:
        """Write a group in one transaction, and return the ids of the new runs."""
        began = time.monotonic()
        recorded = await self._threads.run(
            self._history.record,
            [image for delivery in deliveries for image in delivery.images],
            [run for delivery in deliveries for run in delivery.runs],
            [removed for delivery in deliveries for removed in delivery.removed],
            [video for delivery in deliveries for video in delivery.videos],
            [job for delivery in deliveries for job in delivery.jobs],
        )
        self._metrics.commit_took(time.monotonic() - began)
        return recorded

    async def _announce(self, delivery: Delivery, new: Mapping[int, RunRecord]) -> None:
        """Log the new runs, and pass them to observers. Skips are only logged."""
        by_id = {reference.image_id: reference for reference in delivery.references}
        message = delivery.message
        details: dict[str, object] = {"receive_count": message.receive_count}
        if message.sent_at is not None:
            details["waited_seconds"] = round(max(0.0, time.time() - message.sent_at), 1)
        for run_id, run in new.items():
            reference = by_id[run.key.image_id]
            log_run(self._log, run_id, run, reference, **details)
            if run.outcome != "skipped" and self._observers.has_observers:
                await self._observers.put(as_run(run, reference))


def log_run(
    log: FilteringBoundLogger,
    run_id: int,
    run: RunRecord,
    reference: ImageReference,
    /,
    **details: object,
) -> None:
    """Log a new run.

    Args:
        log: The logger.
        run_id: The run's id.
        run: The run.
        reference: Its image.
        details: More fields of the line.
    """
    fields = {
        "image_id": str(run.key.image_id),
        "run_id": run_id,
        "uri": reference.uri,
        **details,
        "detector": run.key.detector,
    }
    if run.outcome == "skipped":
        log.info("run_skipped", **fields, code=run.error_code, reason=run.error_message)
        return
    if run.error_code:
        fields |= {"error_code": run.error_code, "error": run.error_message}
    log.info(
        "run_recorded",
        **fields,
        outcome=run.outcome,
        detections=len(run.detections),
        duration_ms=round(run.duration_ms, 1),
    )


def _new_runs(delivery: Delivery, recorded: dict[TaskKey, int]) -> dict[int, RunRecord]:
    """Return the delivery's inserted runs, and remove them from ``recorded``.

    If an event was delivered twice within a group, the first delivery's run was inserted.
    """
    new: dict[int, RunRecord] = {}
    for run in delivery.runs:
        run_id = recorded.pop((run.key, run.event_id), None)
        if run_id is not None:
            new[run_id] = run
    return new
