"""Letting plugins filter what a detector found, before anything of it is recorded."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, cast

import structlog
from retinue_sdk import (
    AnyDetector,
    Capabilities,
    Detection,
    Detector,
    Findings,
    FutureDetector,
    Image,
    ImageReference,
    InvalidImageError,
    Pacer,
    Result,
)
from retinue_sdk.errors import format_error
from retinue_sdk.plugins.manager import Filter

log = structlog.get_logger(__name__)


class FilteredDetector(Detector[Any]):
    """Stands in for a detector, and passes its findings through filters.

    Args:
        detector: The detector.
        filters: At least one, in the order in which they are applied.
    """

    name: ClassVar[str]

    def __init__(self, detector: AnyDetector, filters: Sequence[Filter]) -> None:
        """Filter nothing yet."""
        super().__init__(detector.options)
        self._own = detector
        self._filters = filters

    @property
    def capabilities(self) -> Capabilities:
        """The detector's own."""
        return self._own.capabilities

    @property
    def pacer(self) -> Pacer:
        """The detector's own."""
        return self._own.pacer

    @pacer.setter
    def pacer(self, pacer: Pacer) -> None:
        self._own.pacer = pacer

    @property
    def model_version(self) -> str | None:
        """The detector's own."""
        return self._own.model_version

    def fingerprint(self) -> str:
        """The detector's own, and the filters' names and versions: they change what is found."""
        text = json.dumps([self._own.fingerprint(), *(one.source for one in self._filters)])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def start(self) -> None:
        """Start the detector."""
        self._own.start()

    def close(self) -> None:
        """Close the detector."""
        self._own.close()

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Have the detector look, and filter what it found. What is no answer passes as it is."""
        results = self._own.detect(images)
        if not isinstance(results, list | tuple) or len(results) != len(images):
            return results  # the lane says what is wrong with it
        return [
            self._filtered(image.reference, result) if isinstance(result, Findings) else result
            for image, result in zip(images, results, strict=True)
        ]

    def _filtered(self, image: ImageReference, findings: Findings) -> Result:
        try:
            detections = tuple(replace(found) for found in findings.detections)
        except Exception:  # noqa: BLE001 - not worth a filter's time; refused when recorded
            return findings
        touched = False
        for one in self._filters:
            try:
                kept = one.apply(image=image, detector=self.name, detections=detections)
                if kept is not None:
                    detections = _checked(kept)
                    touched = True
            except BaseException as error:  # even SystemExit must not take the thread down
                log.exception("filter_failed", detector=self.name, filter=one.source)
                return InvalidImageError(
                    f"{one.source}: {format_error(error)}", code="filter_failed", retryable=True
                )
        if not touched:
            return findings
        return replace(findings, detections=detections, raw_response=None)


class FilteredFutureDetector(FilteredDetector, FutureDetector[Any]):
    """The same for a detector whose answers are futures."""

    def submit(self, image: Image) -> "Future[Result]":
        """Have the detector look, and filter what it finds. What is no future passes as it is."""
        own: object = cast("FutureDetector[Any]", self._own).submit(image)
        if not isinstance(own, Future):
            return cast("Future[Result]", own)
        filtered: Future[Result] = Future()
        own.add_done_callback(partial(self._pass_on, image.reference, filtered))
        return filtered

    def _pass_on(
        self, image: ImageReference, filtered: "Future[Result]", own: "Future[Any]"
    ) -> None:
        try:
            result = own.result(0)
        except BaseException as error:  # noqa: BLE001 - the lane looks at it
            filtered.set_exception(error)
            return
        if isinstance(result, Findings):
            result = self._filtered(image, result)
        filtered.set_result(result)


def _checked(kept: object) -> tuple[Detection, ...]:
    """What a filter returned, if it is detections.

    Raises:
        TypeError: It is not.
        ValueError: One breaks the SDK's rules.
    """
    if not isinstance(kept, Sequence):
        raise TypeError(f"a filter returned a {type(kept).__name__}, not a sequence of Detection")
    for found in kept:
        if not isinstance(found, Detection):
            raise TypeError(f"a filter returned a {type(found).__name__} among the detections")
    return tuple(replace(found) for found in kept)


def filtered(detector: AnyDetector, filters: Sequence[Filter]) -> AnyDetector:
    """The detector, with filters if there are any, under its name and version."""
    if not filters:
        return detector
    described = {"name": detector.name, "version": detector.version}
    base = FilteredFutureDetector if isinstance(detector, FutureDetector) else FilteredDetector
    kind = cast("type[FilteredDetector]", type("Filtered", (base,), described))
    return kind(detector, filters)
