"""Decide for one task whether its detector is called, and wait for the facts that this needs."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from retinue_history import DetectionSummary, JobRecord, RunRecord

from retinue_workers.dispatch.routing.decide import (
    Admit,
    KnownDetections,
    NeedsDetections,
    NeedsMetadata,
    ObjectMetadata,
    Skip,
    Unknown,
    decide,
)
from retinue_workers.dispatch.routing.object_metadata import MetadataReader
from retinue_workers.settings.routes import Route
from retinue_workers.work import Requeue, Task, TaskResult

Peers: TypeAlias = Mapping[str, "asyncio.Task[TaskResult]"]
"""The tasks of other detectors for the same image, by detector."""

Earlier: TypeAlias = Mapping[str, Sequence[DetectionSummary] | None]
"""Findings of earlier runs for an image, by detector; ``None`` without a success."""


class Router:
    """Applies the routes. Detectors without a route receive every image.

    Args:
        routes: Conditions by detector.
        metadata: Reads the metadata that routes need.

    Attributes:
        needs_detections: Whether a route needs results of other detectors.
    """

    def __init__(self, routes: Mapping[str, Route], metadata: MetadataReader) -> None:
        self._routes = routes
        self._metadata = metadata
        self.needs_detections = any(route.found for route in routes.values())

    def requires(self, detectors: Iterable[str]) -> set[str]:
        """Return the detectors whose results these detectors' routes need."""
        routes = (self._routes.get(detector) for detector in detectors)
        return {required.detector for route in routes if route for required in route.found}

    async def admit(self, task: Task, peers: Peers, earlier: Earlier) -> Admit | Skip | Requeue:
        """Decide whether a task's detector is called.

        Args:
            task: The task.
            peers: The tasks of other detectors for the image. Awaited if the route needs them.
            earlier: Earlier findings of detectors that have no task for this image.

        Returns:
            ``Requeue`` if a detector that the route needs has no result. The message returns to
            the queue, and the decision is made again at its next receive.

        Raises:
            DetectorError: The object's metadata cannot be read. The class determines the next step.
        """
        route = self._routes.get(task.key.detector)
        if route is None:
            return Admit()
        found = _found_earlier(earlier)
        metadata: ObjectMetadata | None = None
        record = task.event.record()
        while True:
            match decide(route, record, found, metadata):
                case NeedsDetections(detector):
                    peer = peers[detector]
                    await asyncio.wait({peer})
                    if peer.cancelled():
                        raise asyncio.CancelledError
                    result = peer.result()
                    if isinstance(result, Requeue):
                        return result
                    found[detector] = _found_by(result)
                case NeedsMetadata():
                    metadata = await self._metadata.read(task.image)
                case Admit() | Skip() as decision:
                    return decision


def _found_by(run: RunRecord | JobRecord) -> KnownDetections:
    """Return a run's findings for the routes that need them."""
    if isinstance(run, JobRecord):  # refused at startup
        return Unknown(f"{run.key.detector} has no result yet")
    if run.outcome == "succeeded":
        return [DetectionSummary(one.kind, one.label, one.confidence) for one in run.detections]
    detector, code = run.key.detector, run.error_code
    how = "was skipped" if run.outcome == "skipped" else "failed"
    return Unknown(f"{detector} {how} ({code})")


def _found_earlier(earlier: Earlier) -> dict[str, KnownDetections]:
    return {
        detector: Unknown(f"{detector} has not succeeded on this image")
        if summaries is None
        else summaries
        for detector, summaries in earlier.items()
    }
