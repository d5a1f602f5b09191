"""From a message to its images, and from an image to its detectors."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import TypeAlias

import structlog
from retinue_history import (
    DetectionSummary,
    History,
    ImageRecord,
    RemovedObject,
    RunKey,
)
from retinue_sdk import Image, Input

from retinue_workers.attempt import Attempt
from retinue_workers.detectors.retry_policy import redrive_seconds
from retinue_workers.detectors.runner import Lane
from retinue_workers.dispatch.routing.router import Router
from retinue_workers.intake.prefetch import Loader
from retinue_workers.intake.s3 import ObjectStore
from retinue_workers.intake.s3_event import MalformedEventError, ObjectCreated, ObjectRemoved, parse
from retinue_workers.limits.receive_gate import CircuitBreaker
from retinue_workers.limits.retry import ask_patiently
from retinue_workers.work import Delivery, Message, Sighting

log = structlog.get_logger(__name__)

RECEIVES_WITHOUT_REDRIVE = 5
"""At which receive a failure is recorded where the queue has no dead-letter queue to follow."""


@dataclass(frozen=True, slots=True)
class _Task:
    """A detector to be applied to an image because of an event, unless that was done before."""

    delivery: Delivery
    sighting: Sighting
    lane: Lane
    key: RunKey


class Pipeline:
    """Takes messages, has every detector look at every image, and completes deliveries.

    Args:
        lanes: One for each detector of the pool.
        loader: Fetches and decodes ahead.
        store: Where bytes come from.
        router: Decides which images detectors with a route are given.
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
        router: Router,
        history: History,
        breaker: CircuitBreaker,
        max_receive_count: int | None,
        complete: Callable[[Delivery], None],
    ) -> None:
        """Put the parts together."""
        self._lanes = lanes
        self._by_name = {lane.name: lane for lane in lanes}
        self._loader = loader
        self._store = store
        self._router = router
        self._history = history
        self._breaker = breaker
        self._max_receive_count = max_receive_count
        self._complete = complete
        self._stopping = Event()

    def accept(self, messages: Sequence[Message]) -> None:
        """Take received messages; returns once all their attempts are on their way."""
        deliveries = [self._read(message) for message in messages]
        plan = [
            _Task(delivery, sighting, lane, _key(sighting, lane))
            for delivery in deliveries
            for sighting in delivery.sightings
            for lane in self._lanes
            if sighting.detectors is None or lane.name in sighting.detectors
        ]
        settled = self._settled([(task.key, task.sighting.event_id) for task in plan])
        work: dict[int, list[_Task]] = {}
        for task in plan:
            if settled is not None and task.key not in settled:
                work.setdefault(id(task.sighting), []).append(task)
        wanted = None if settled is None else self._not_forgotten(work)
        earlier = None if wanted is None else self._earlier(wanted.values())
        if wanted is None or earlier is None:
            for delivery in deliveries:
                delivery.hand_back(0)
                self._complete(delivery)
            return
        for tasks in wanted.values():
            tasks[0].delivery.expected += len(tasks)
        for delivery in deliveries:
            if not delivery.expected:
                self._complete(delivery)
        for sighting, tasks in wanted.items():
            self._dispatch(tasks, earlier.get(sighting, {}))

    def stop(self) -> None:
        """Wait for the history no longer, and load nothing any more."""
        self._stopping.set()
        self._loader.stop()

    def _read(self, message: Message) -> Delivery:
        """What a message asks for. What cannot be understood of it sends it back to the queue."""
        last = message.receive_count >= (self._max_receive_count or RECEIVES_WITHOUT_REDRIVE)
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
        """An image that was created."""
        reference = event.reference
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
        return Sighting(reference, record, event.event_id, event.detectors)

    def _settled(self, asked: Sequence[tuple[RunKey, str]]) -> Set[RunKey] | None:
        """Which run keys need no attempt for these events; ``None`` if the worker stops first."""
        if not asked:
            return set()
        return ask_patiently(
            partial(self._history.done, asked), breaker=self._breaker, stopping=self._stopping
        )

    def _not_forgotten(self, work: Mapping[int, list[_Task]]) -> Mapping[int, list[_Task]] | None:
        """The work without images that were forgotten on request; ``None`` if the worker stops.

        The history would not take their runs; so nobody need look at them, or pay for it.
        """
        if not work:
            return work
        records = [tasks[0].sighting.record for tasks in work.values()]
        gone = ask_patiently(
            partial(self._history.erased, records),
            breaker=self._breaker,
            stopping=self._stopping,
        )
        if not gone:
            return None if gone is None else work
        log.info("forgotten_images_left_out", images=len(gone))
        return {
            sighting: tasks
            for sighting, tasks in work.items()
            if tasks[0].sighting.record.image_id not in gone
        }

    def _earlier(
        self, work: Iterable[Sequence[_Task]]
    ) -> Mapping[int, Mapping[str, Sequence[DetectionSummary] | None]] | None:
        """What routes ask for and no attempt of now will tell: the findings of earlier runs.

        Returns:
            By the sighting's ``id`` and by detector; ``None`` for a detector without a success on
            the image. Altogether ``None`` if the worker stops first.
        """
        asked: list[tuple[int, str, RunKey]] = []
        for tasks in work:
            names = {task.lane.name for task in tasks}
            sighting = tasks[0].sighting
            asked.extend(
                (id(sighting), name, _key(sighting, self._by_name[name]))
                for name in self._router.wants_findings(names) - names
            )
        if not asked:
            return {}
        seen = ask_patiently(
            partial(self._history.summaries, [key for _, _, key in asked]),
            breaker=self._breaker,
            stopping=self._stopping,
        )
        if seen is None:
            return None
        earlier: dict[int, dict[str, Sequence[DetectionSummary] | None]] = {}
        for sighting_id, name, key in asked:
            earlier.setdefault(sighting_id, {})[name] = seen.get(key)
        return earlier

    def _dispatch(
        self, tasks: Sequence[_Task], earlier: Mapping[str, Sequence[DetectionSummary] | None]
    ) -> None:
        """Send what is to be done about an image to the lanes, or to the router.

        Detectors that need its bytes share them, by way of the loader, and the bytes go when the
        last of them is done. Detectors by reference have an image of their own, so that one of them
        which takes its time, waiting for a service, keeps no bytes. What a detector with a route
        needs is fetched for it alone once it is admitted, unless another fetches it anyway.
        """
        sighting = tasks[0].sighting
        free = [task for task in tasks if not self._router.holds(task.lane.name)]
        held = [task for task in tasks if self._router.holds(task.lane.name)]
        light = self._attempts([task for task in free if _is_light(task)])
        needy = self._attempts([task for task in free if not _is_light(task)])
        sharing = [task for task in held if needy and not _is_light(task)]
        waiting = [
            (
                _attempt(task, needy[0][1].image if task in sharing else self._image(sighting)),
                task in sharing,
            )
            for task in held
        ]
        at_work = [attempt for _, attempt in (*light, *needy)]
        decide = self._router.take(sighting, waiting, at_work, earlier) if waiting else None
        _put(light)
        if needy:
            pixels = any(lane.input is Input.PIXELS for lane, _ in needy)
            self._loader.load(
                needy[0][1].image,
                Input.PIXELS if pixels else Input.BYTES,
                uses=len(needy) + len(sharing),
                then=partial(_put, needy, decide if sharing else None),
            )
        if decide is not None and not sharing:
            decide()

    def _attempts(self, tasks: Sequence[_Task]) -> "list[_Ready]":
        """Attempts that share an image; none is made where there is no task."""
        if not tasks:
            return []
        image = self._image(tasks[0].sighting)
        return [(task.lane, _attempt(task, image)) for task in tasks]

    def _image(self, sighting: Sighting) -> Image:
        """An image, nothing of it fetched."""
        return self._store.image(sighting.reference, sighting.record.size_bytes)


_Ready: TypeAlias = tuple[Lane, Attempt]


def _is_light(task: _Task) -> bool:
    return task.lane.input is Input.REFERENCE


def _attempt(task: _Task, image: Image) -> Attempt:
    return Attempt(task.delivery, image, task.key, task.sighting.event_id)


def _put(attempts: Sequence[_Ready], then: Callable[[], None] | None = None) -> None:
    for lane, attempt in attempts:
        lane.put(attempt)
    if then is not None:
        then()


def _key(sighting: Sighting, lane: Lane) -> RunKey:
    detector = lane.detector
    return RunKey(sighting.record.image_id, detector.name, detector.version, lane.fingerprint)
