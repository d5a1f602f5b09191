"""Decides for each image which detectors are given it, and waits for what that takes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Protocol

from retinue_history import DetectionSummary, RunKey, RunRecord, skip_event_id
from retinue_sdk import Input

from retinue_workers.attempt import Attempt
from retinue_workers.detectors.retry_policy import HandBack
from retinue_workers.detectors.run_record import MAX_MESSAGE_CHARACTERS, storable
from retinue_workers.dispatch.routing.decide import Admit, Decision, Skip, WaitForFacts
from retinue_workers.dispatch.routing.object_metadata import ObjectFacts, facts_of
from retinue_workers.dispatch.routing.pending_image import Junction, Waiting, known_findings
from retinue_workers.intake.prefetch import Loader
from retinue_workers.intake.s3 import ObjectStore
from retinue_workers.settings.routes import Route
from retinue_workers.work import Sighting


class AnyLane(Protocol):
    """What the router needs of a lane."""

    @property
    def name(self) -> str:
        """The detector's name."""

    @property
    def input(self) -> Input:
        """What of an image the detector needs."""

    @property
    def usd_per_unit(self) -> Decimal:
        """Price of one billed unit, in US dollars."""

    def put(self, attempt: Attempt, due: float = 0.0) -> None:
        """Add an attempt."""


Settle = Callable[[Attempt, RunRecord | HandBack], None]


class Router:
    """Holds attempts back until their conditions are known; then admits or skips them.

    It has no thread of its own: what it has to do, it does on the thread of the lane whose outcome
    it was waiting for.

    Args:
        routes: Conditions by detector; other detectors are given every image.
        loader: Loads what an admitted attempt needs of its image.
        store: Where images are.
        settle: Told the outcome of each attempt.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        *,
        loader: Loader,
        store: ObjectStore,
        settle: Settle,
    ) -> None:
        """Decide nothing yet."""
        self._routes = routes
        self._loader = loader
        self._settle = settle
        self._store = store
        self._lanes: dict[str, AnyLane] = {}
        self._facts_lane: AnyLane | None = None
        self._asked = {found.detector for route in routes.values() for found in route.found}
        self._places: dict[Attempt, tuple[Junction, Sighting]] = {}

    def facts_detector(self) -> ObjectFacts | None:
        """What asks S3 for facts; ``None`` if no route wants any. Give it a lane."""
        routes = self._routes.values()
        head = any(route.needs_head for route in routes)
        tags = any(route.needs_tags for route in routes)
        size_px = any(route.needs_size_px for route in routes)
        if not (head or tags or size_px):
            return None
        return ObjectFacts(self._store, head=head, tags=tags, size_px=size_px)

    def connect(self, lanes: Iterable[AnyLane], facts: AnyLane | None) -> None:
        """Say which lanes there are, before any is started.

        Args:
            lanes: One for each detector.
            facts: That of ``facts_detector``, with ``settle_facts`` to settle; if there is one.
        """
        self._lanes = {lane.name: lane for lane in lanes}
        self._facts_lane = facts

    def holds(self, detector: str) -> bool:
        """Whether a detector has a route."""
        return detector in self._routes

    def asks(self, detector: str) -> bool:
        """Whether a route asks for what a detector found."""
        return detector in self._asked

    def wants_findings(self, detectors: Iterable[str]) -> set[str]:
        """The detectors whose findings the routes of these detectors ask for."""
        routes = (self._routes.get(detector) for detector in detectors)
        return {found.detector for route in routes if route for found in route.found}

    def take(
        self,
        sighting: Sighting,
        held: Sequence[tuple[Attempt, bool]],
        at_work: Sequence[Attempt],
        earlier: Mapping[str, Sequence[DetectionSummary] | None],
    ) -> Callable[[], None]:
        """Take the attempts about one image; call what is returned to have them decided.

        Args:
            sighting: The image.
            held: The attempts of detectors with a route, each with whether its image is shared with
                others, who load it.
            at_work: The other attempts about the image, not handed to their lanes yet.
            earlier: What detectors found that are settled; ``None`` for one that did not succeed.
        """
        junction = Junction(
            sighting.record,
            {
                attempt.key.detector: Waiting(attempt, self._routes[attempt.key.detector], shared)
                for attempt, shared in held
            },
            known_findings(earlier),
        )
        for attempt in [*at_work, *(attempt for attempt, _ in held)]:
            if self.asks(attempt.key.detector):
                self._places[attempt] = (junction, sighting)
        return partial(self._decide, junction, sighting)

    def settle(self, attempt: Attempt, outcome: RunRecord | HandBack) -> None:
        """Take an attempt's outcome from its lane, pass it on, and decide who waited for it."""
        place = self._places.pop(attempt, None)
        self._settle(attempt, outcome)
        if place is None:
            return
        junction, sighting = place
        if isinstance(outcome, RunRecord):
            junction.tell_findings(attempt.key.detector, outcome)
            self._decide(junction, sighting)
        else:  # its message comes back, and all is decided anew
            for waiting in junction.take_those_for(attempt.key.detector):
                self.settle(waiting.attempt, outcome)

    def settle_facts(self, attempt: Attempt, outcome: RunRecord | HandBack) -> None:
        """Take what the facts' lane answers: facts, or why there are none."""
        junction, sighting = self._places.pop(attempt)
        if isinstance(outcome, RunRecord) and outcome.outcome == "succeeded":
            junction.tell_facts(facts_of(outcome))
            self._decide(junction, sighting)
            return
        for waiting in junction.take_those_for_facts():
            its = waiting.attempt
            if isinstance(outcome, RunRecord):
                failed = replace(outcome, key=its.key, event_id=its.event_id)
                self.settle(its, failed)
            else:
                self.settle(its, outcome)

    def _decide(self, junction: Junction, sighting: Sighting) -> None:
        """Act on what can be decided now."""
        for waiting, decision in junction.decided():
            self._act(junction, sighting, waiting, decision)

    def _act(
        self, junction: Junction, sighting: Sighting, waiting: Waiting, decision: Decision
    ) -> None:
        attempt = waiting.attempt
        lane = self._lanes[attempt.key.detector]
        match decision:
            case Skip() as skip:
                self._places.pop(attempt, None)  # the junction knows already
                self._settle(attempt, skipped(attempt, skip, saved_usd=lane.usd_per_unit))
            case WaitForFacts():
                image = (
                    attempt.image
                    if waiting.shared
                    else self._store.image(sighting.reference, sighting.record.size_bytes)
                )
                key = RunKey(sighting.record.image_id, ObjectFacts.name, ObjectFacts.version, "")
                asking = Attempt(attempt.delivery, image, key, attempt.event_id)
                self._places[asking] = (junction, sighting)
                if self._facts_lane is None:
                    raise AssertionError("a route wants facts, and there is no lane for them")
                self._facts_lane.put(asking)
            case Admit() if waiting.shared or lane.input is Input.REFERENCE:
                lane.put(attempt)
            case Admit():
                self._loader.load(
                    attempt.image, lane.input, uses=1, then=partial(lane.put, attempt)
                )


def skipped(attempt: Attempt, skip: Skip, *, saved_usd: Decimal) -> RunRecord:
    """The row that says that a detector was not given an image, why, and what that saved."""
    return RunRecord(
        key=attempt.key,
        event_id=skip_event_id(attempt.event_id),
        outcome="skipped",
        retryable=True,
        started_at=datetime.now(UTC),
        duration_ms=0.0,
        error_code=skip.code,
        error_message=storable(skip.reason)[:MAX_MESSAGE_CHARACTERS],
        saved_usd=saved_usd,
    )
