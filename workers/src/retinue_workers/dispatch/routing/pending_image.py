"""One image whose detectors wait for one another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

from retinue_history import DetectionSummary, ImageRecord, RunRecord

from retinue_workers.attempt import Attempt
from retinue_workers.dispatch.routing.decide import (
    Admit,
    Decision,
    Facts,
    Findings,
    Skip,
    Unknown,
    WaitForFacts,
    WaitForFindings,
    decide,
)
from retinue_workers.settings.routes import Route


@dataclass(eq=False, slots=True)
class Waiting:
    """An attempt that is not decided yet.

    Attributes:
        attempt: The attempt.
        route: Its conditions.
        shared: Whether its image is one that other attempts load.
    """

    attempt: Attempt
    route: Route
    shared: bool


@dataclass(eq=False, slots=True)
class Junction:
    """What is known about one image, and the attempts that are still to be decided.

    Safe to use from any thread; nothing is called while its lock is held.

    Attributes:
        image: What the event says.
        waiting: The attempts, by detector.
        findings: What detectors found, by name, as far as it is there.
    """

    image: ImageRecord
    waiting: dict[str, Waiting]
    findings: dict[str, Findings]
    _facts: Facts | None = None
    _asking: bool = False
    _lock: Lock = field(default_factory=Lock)

    def decided(self) -> list[tuple[Waiting, Decision]]:
        """The attempts that can be decided now, each once.

        ``WaitForFacts`` is among them at most once: then, and only then, facts are to be asked for.
        """
        with self._lock:
            ready: list[tuple[Waiting, Decision]] = []
            progress = True
            while progress:  # a skip is news for those that wait for the one that is skipped
                progress = False
                for name, waiting in list(self.waiting.items()):
                    decision = decide(waiting.route, self.image, self.findings, self._facts)
                    match decision:
                        case WaitForFindings():
                            continue
                        case WaitForFacts():
                            if not self._asking:
                                self._asking = True
                                ready.append((waiting, decision))
                            continue
                        case Skip(code=code):
                            self.findings[name] = Unknown(f"{name} was skipped ({code})")
                            progress = True
                        case Admit():
                            pass
                    del self.waiting[name]
                    ready.append((waiting, decision))
            return ready

    def tell_findings(self, detector: str, run: RunRecord) -> None:
        """A detector has answered."""
        with self._lock:
            self.findings[detector] = findings_of(run)

    def tell_facts(self, facts: Facts) -> None:
        """S3 has answered."""
        with self._lock:
            self._facts = facts

    def take_those_for_facts(self) -> list[Waiting]:
        """Take out the attempts that wait for facts alone: there will be none."""
        with self._lock:
            return self._take(
                name
                for name, waiting in self.waiting.items()
                if isinstance(
                    decide(waiting.route, self.image, self.findings, self._facts), WaitForFacts
                )
            )

    def take_those_for(self, detector: str) -> list[Waiting]:
        """Take out the attempts that wait for what a detector found: it will not answer."""
        with self._lock:
            return self._take(
                name
                for name, waiting in self.waiting.items()
                if any(found.detector == detector for found in waiting.route.found)
            )

    def _take(self, names: Iterable[str]) -> list[Waiting]:
        return [self.waiting.pop(name) for name in list(names)]


def findings_of(run: RunRecord) -> Findings:
    """What a run says to those that wait for it."""
    if run.outcome == "succeeded":
        return [DetectionSummary(one.kind, one.label, one.confidence) for one in run.detections]
    return Unknown(f"{run.key.detector} failed ({run.error_code})")


def known_findings(
    detectors: Mapping[str, Sequence[DetectionSummary] | None],
) -> dict[str, Findings]:
    """What earlier runs say; ``None`` for a detector that has not succeeded."""
    return {
        name: Unknown(f"{name} has not succeeded on this image") if seen is None else seen
        for name, seen in detectors.items()
    }
