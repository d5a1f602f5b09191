"""A lane with a detector that does what the test says."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from decimal import Decimal
from typing import Any, ClassVar

from retinue_history import RunRecord
from retinue_sdk import (
    Capabilities,
    Detector,
    DetectorOptions,
    Findings,
    FutureDetector,
    Image,
    Input,
    Result,
)
from retinue_workers.attempt import Attempt
from retinue_workers.detectors.retry_policy import HandBack
from retinue_workers.detectors.runner import Lane, LaneLimits
from retinue_workers.limits.budget import Spending
from retinue_workers.limits.receive_gate import CircuitBreaker
from retinue_workers.settings.settings import TierPrice

from fakes.history import MemoryHistory


class Scripted(Detector[DetectorOptions]):
    """Does what the test says; notes whatever must not happen."""

    name: ClassVar[str] = "scripted"
    version: ClassVar[str] = "1"

    def __init__(self, script: Callable[[Sequence[Image]], Any], **capabilities: Any) -> None:
        super().__init__(DetectorOptions())
        self._script = script
        self._capabilities = Capabilities(Input.REFERENCE, **capabilities)
        self._lock = threading.Lock()
        self.inside = 0
        self.most_inside = 0
        self.closed = 0
        self.misuse: list[str] = []

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            if self.closed:
                self.misuse.append("detect after close")
        try:
            answer: Sequence[Result] = self._script(images)
            return answer
        finally:
            with self._lock:
                self.inside -= 1

    def close(self) -> None:
        with self._lock:
            if self.inside:
                self.misuse.append("closed while at work")
            self.closed += 1


class ScriptedFuture(Scripted, FutureDetector[DetectorOptions]):
    """The same by ``submit``: a thread for each image does what the test says."""

    def submit(self, image: Image) -> Future[Result]:
        future: Future[Result] = Future()

        def work() -> None:
            try:
                (answer,) = self.detect([image])
            except BaseException as error:  # noqa: BLE001 - whatever the test raises
                future.set_exception(error)
            else:
                future.set_result(answer)

        threading.Thread(target=work, daemon=True).start()
        return future


class Setup:
    """Lanes, and what came of their attempts.

    Args:
        kind: The class of their detectors.
    """

    def __init__(self, kind: type[Scripted] = Scripted) -> None:
        self._kind = kind
        self.breaker = CircuitBreaker()
        self.settled: list[tuple[Attempt, RunRecord | HandBack]] = []
        self.lanes: list[Lane] = []

    def lane(
        self,
        script: Callable[[Sequence[Image]], Any],
        *,
        timeout: float = 20,
        window: float = 20,
        budget: Decimal | None = None,
        **capabilities: Any,
    ) -> tuple[Lane, Scripted]:
        detector = self._kind(script, **capabilities)
        lane = Lane(
            detector,
            spending=Spending(
                MemoryHistory(),
                self.breaker,
                prices={"scripted": (TierPrice(usd=Decimal(1)),)},
                budgets={} if budget is None else {"scripted": budget},
            ),
            limits=LaneLimits(timeout, window, 100, 10_000),
            breaker=self.breaker,
            settle=lambda one, outcome: self.settled.append((one, outcome)),
        )
        self.lanes.append(lane)
        lane.start()
        return lane, detector

    def codes(self) -> list[str]:
        return [
            outcome.error_code or "ok" if isinstance(outcome, RunRecord) else "back"
            for _, outcome in self.settled
        ]


def fine(images: Sequence[Image]) -> list[Result]:
    return [Findings(billed_units=Decimal(1)) for _ in images]
