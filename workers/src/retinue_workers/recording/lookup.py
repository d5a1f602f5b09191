"""Look up finished run keys in the history, for many messages in one query."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
from retinue_history import DetectionSummary, History, HistoryUnavailableError, ImageRecord, RunKey

from retinue_workers.limits.batching import Batcher
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.retry import retry_until_available
from retinue_workers.limits.threads import DaemonThreads

log = structlog.get_logger(__name__)

AnswerT = TypeVar("AnswerT")

GROUP = 100
"""Maximum number of messages in one query."""


@dataclass(slots=True)
class Wanted:
    """A detector that is wanted for an image.

    Attributes:
        key: The run key.
        event_id: The id of the event that requests it.
        image: The image of the event.
    """

    key: RunKey
    event_id: str
    image: ImageRecord


class Lookup:
    """Reads from the history before the detectors run. Waits while the database is unavailable.

    Args:
        history: The history.
        threads: Run calls of the history.
        gate: Closed for ``history`` while the database is unavailable.
    """

    def __init__(self, history: History, threads: DaemonThreads, gate: ReceiveGate) -> None:
        self._history = history
        self._threads = threads
        self._gate = gate
        self._questions = Batcher(self._answer, limit=GROUP)

    async def pending(self, wanted: Sequence[Wanted]) -> Sequence[Wanted]:
        """Return the items that are neither done nor for images erased on request.

        The history rejects runs of erased images, so no detector processes them.

        Raises:
            HistoryDataError: The history can't store one of the texts. Other queries succeed.
        """
        return await self._questions.submit(wanted) if wanted else ()

    async def summaries(self, keys: Collection[RunKey]) -> dict[RunKey, list[DetectionSummary]]:
        """Return the findings of successful runs by key. Omit keys without one."""
        return await self._ask(partial(self._history.summaries, keys)) if keys else {}

    async def _answer(self, questions: Sequence[Sequence[Wanted]]) -> Sequence[Sequence[Wanted]]:
        wanted = [one for question in questions for one in question]
        done, erased = await self._ask(partial(self._done_and_erased, wanted))
        if erased:
            log.info("erased_images_skipped", images=len(erased))
        elif not done:
            return questions
        return [
            [one for one in question if one.key not in done and one.image.image_id not in erased]
            for question in questions
        ]

    def _done_and_erased(self, wanted: Sequence[Wanted]) -> tuple[set[RunKey], set[UUID]]:
        images = {id(one.image): one.image for one in wanted}
        return self._history.done_and_erased(
            [(one.key, one.event_id) for one in wanted], images.values()
        )

    async def _ask(self, question: "partial[AnswerT]") -> AnswerT:
        return await retry_until_available(
            partial(self._threads.run, question),
            unavailable=HistoryUnavailableError,
            event="history_unavailable",
            gate=self._gate,
            cause="history",
        )
