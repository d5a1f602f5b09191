"""From a message to its images, and from an image to its detectors."""

from collections.abc import Callable, Sequence, Set
from functools import partial
from itertools import count
from threading import Event

import structlog
from retinue_history import (
    History,
    HistoryUnavailableError,
    ImageRecord,
    RemovedObject,
    RunKey,
)
from retinue_sdk import Image, ImageLimits, Input

from retinue_workers.attempt import Attempt
from retinue_workers.backoff import backoff_seconds
from retinue_workers.breaker import CircuitBreaker
from retinue_workers.delivery import Delivery, Sighting
from retinue_workers.event import MalformedEventError, ObjectCreated, ObjectRemoved, parse
from retinue_workers.lane import Lane
from retinue_workers.loader import Loader
from retinue_workers.object_store import ObjectStore
from retinue_workers.queue import Message
from retinue_workers.verdict import redrive_seconds

log = structlog.get_logger(__name__)


class Pipeline:
    """Takes messages, has every detector look at every image, and completes deliveries.

    Args:
        lanes: One for each detector of the pool.
        loader: Fetches and decodes ahead.
        store: Where bytes come from.
        limits: How large an image may be.
        history: Asked what was settled before.
        breaker: Tripped while the history is away.
        max_receive_count: Of the queue's redrive policy; ``None`` if it has none.
        complete: Told of each delivery once nothing of it is open any more.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        *,
        loader: Loader,
        store: ObjectStore,
        limits: ImageLimits,
        history: History,
        breaker: CircuitBreaker,
        max_receive_count: int | None,
        complete: Callable[[Delivery], None],
    ) -> None:
        """Put the parts together."""
        self._lanes = lanes
        self._loader = loader
        self._store = store
        self._limits = limits
        self._history = history
        self._breaker = breaker
        self._max_receive_count = max_receive_count
        self._complete = complete
        self._stopping = Event()

    def accept(self, messages: Sequence[Message]) -> None:
        """Take received messages; returns once all their attempts are on their way."""
        deliveries = [self._read(message) for message in messages]
        plan = [
            (Attempt(delivery, sighting, _key(sighting, lane)), lane)
            for delivery in deliveries
            for sighting in delivery.sightings
            for lane in self._lanes
        ]
        settled = self._settled([(attempt.key, attempt.event_id) for attempt, _ in plan])
        if settled is None:
            for delivery in deliveries:
                delivery.hand_back(0)
                self._complete(delivery)
            return
        work: dict[int, list[tuple[Attempt, Lane]]] = {}
        for attempt, lane in plan:
            if attempt.key not in settled:
                attempt.delivery.expected += 1
                work.setdefault(id(attempt.sighting), []).append((attempt, lane))
        for delivery in deliveries:
            if not delivery.expected:
                self._complete(delivery)
        for image_work in work.values():
            self._dispatch(image_work)

    def stop(self) -> None:
        """Wait for the history no longer, and load nothing any more."""
        self._stopping.set()
        self._loader.stop()

    def _read(self, message: Message) -> Delivery:
        """What a message asks for. What cannot be understood of it sends it back to the queue."""
        last = self._max_receive_count is not None and (
            message.receive_count >= self._max_receive_count
        )
        delivery = Delivery(message, last)
        try:
            parsed = parse(message.body)
        except MalformedEventError as error:
            problems: tuple[str, ...] = (str(error),)
        else:
            problems = parsed.problems
            delivery.sightings = [
                self._sighting(event) for event in parsed.events if isinstance(event, ObjectCreated)
            ]
            delivery.removed = [
                RemovedObject(
                    event.bucket,
                    event.key,
                    None if event.delete_marker else event.version_id,
                    event.sequencer,
                    event.event_time,
                )
                for event in parsed.events
                if isinstance(event, ObjectRemoved)
            ]
        for problem in problems:
            delivery.hand_back(redrive_seconds(message.receive_count))
            log.error(
                "malformed_message",
                message_id=message.message_id,
                receive_count=message.receive_count,
                problem=problem,
                next="dead-letter queue" if last else "delivered again",
            )
        return delivery

    def _sighting(self, event: ObjectCreated) -> Sighting:
        """An image, nothing of it fetched."""
        reference = event.reference
        image = Image(
            reference,
            partial(self._store.fetch, reference),
            limits=self._limits,
            size_bytes=event.size_bytes,
        )
        record = ImageRecord(
            image_id=reference.image_id,
            bucket=reference.bucket,
            key=reference.key,
            version=reference.version,
            versioned=reference.version_id is not None,
            uploaded_at=event.event_time,
            sequencer=event.sequencer,
            etag=reference.etag,
            size_bytes=event.size_bytes,
        )
        return Sighting(image, record, event.event_id)

    def _settled(self, asked: Sequence[tuple[RunKey, str]]) -> Set[RunKey] | None:
        """Which run keys need no attempt for these events; ``None`` if the worker stops first."""
        if not asked:
            return set()
        for tries in count():
            try:
                settled = self._history.settled(asked)
            except HistoryUnavailableError as error:
                self._breaker.trip("history", str(error))
                if self._stopping.wait(backoff_seconds(tries)):
                    return None
            else:
                self._breaker.reset("history")
                return settled
        raise AssertionError("count() does not end")

    def _dispatch(self, work: Sequence[tuple[Attempt, Lane]]) -> None:
        """Send an image's attempts to their lanes, by way of the loader if one needs its bytes."""
        needy = [(attempt, lane) for attempt, lane in work if lane.input is not Input.REFERENCE]
        for attempt, lane in work:
            if lane.input is Input.REFERENCE:
                lane.put(attempt)
        if needy:
            self._loader.load(
                needy[0][0].image,
                Input.PIXELS
                if any(lane.input is Input.PIXELS for _, lane in needy)
                else Input.BYTES,
                uses=len(needy),
                then=partial(_put, needy),
            )


def _put(work: Sequence[tuple[Attempt, Lane]]) -> None:
    for attempt, lane in work:
        lane.put(attempt)


def _key(sighting: Sighting, lane: Lane) -> RunKey:
    detector = lane.detector
    return RunKey(sighting.record.image_id, detector.name, detector.version, lane.fingerprint)
