"""Call a detector for a task, again and again, until the table of errors ends the attempts."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from time import monotonic
from typing import NamedTuple

import structlog
from retinue_sdk import RetriableError

from retinue_workers.detectors.retry_policy import Answer, Fail, Pause, Retry, Succeed, decide
from retinue_workers.detectors.runner import DetectorRunner
from retinue_workers.limits.budget import Budget
from retinue_workers.ops.metrics import Metrics
from retinue_workers.work import Requeue, Task, TaskResult

log = structlog.get_logger(__name__)

STOPPING = Requeue(0, "the worker is stopping")
"""The outcome of a task that the worker has no time for."""


class Concluded(NamedTuple):
    """The last answer of a detector, and how to record it. The caller releases its budget."""

    answer: Answer
    decision: Succeed | Fail


@dataclass(frozen=True, slots=True)
class Attempts:
    """Repeats the calls of tasks.

    Attributes:
        budget: Releases the amounts that calls reserved.
        metrics: Counts retries.
        retry_window_seconds: For how long retriable errors are retried inside the worker.
    """

    budget: Budget
    metrics: Metrics
    retry_window_seconds: float

    async def conclude(
        self,
        task: Task,
        runner: DetectorRunner | None,
        ask: Callable[[], Awaitable[Answer | TaskResult]],
    ) -> Concluded | TaskResult:
        """Ask until the answer can be recorded, or another result takes its place.

        Args:
            task: The task.
            runner: The runner that is asked; ``None`` if only routes are.
            ask: Returns the next answer.
        """
        retrying_since: float | None = None
        try:
            for attempt in count(1):
                answer = await ask()
                if not isinstance(answer, Answer):
                    return answer
                if runner is not None:
                    answer = runner.suspects.note(task, answer)
                if not isinstance(answer.value, RetriableError):
                    retrying_since = None
                elif retrying_since is None:
                    retrying_since = monotonic()
                decision = decide(
                    answer,
                    task,
                    attempt,
                    retrying_seconds=monotonic() - retrying_since if retrying_since else 0.0,
                    retry_window_seconds=self.retry_window_seconds,
                )
                if isinstance(decision, Succeed | Fail):
                    return Concluded(answer, decision)
                self.budget.release(task.key.detector, answer.reserved_usd)
                if _is_cancelled():
                    decision = STOPPING
                match decision:
                    case Requeue():
                        _log_requeue(task, decision)
                        return decision
                    case Retry():
                        task.alone = task.alone or decision.alone
                        self.metrics.retried(task.key.detector, decision.throttled)
                        _log_retry(task, attempt, decision)
                    case Pause():
                        if runner is not None:
                            runner.pause(decision.after_seconds, decision.reason)
                await asyncio.sleep(decision.after_seconds)
        finally:
            if runner is not None:
                runner.suspects.acquit(task)
        raise AssertionError("count() does not end")


def _is_cancelled() -> bool:
    """Return whether the worker is stopping. A detector's call absorbed the cancellation."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _log_requeue(task: Task, requeue: Requeue) -> None:
    log.warning(
        "message_requeued",
        image_id=str(task.key.image_id),
        detector=task.key.detector,
        receive_count=task.message.receive_count,
        after_seconds=requeue.after_seconds,
        reason=requeue.reason,
    )


def _log_retry(task: Task, attempt: int, retry: Retry) -> None:
    log.warning(
        "detector_retried",
        detector=task.key.detector,
        image_id=str(task.key.image_id),
        receive_count=task.message.receive_count,
        attempt=attempt,
        after_seconds=round(retry.after_seconds, 3),
        reason=retry.reason,
    )
