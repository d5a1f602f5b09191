"""Apply plugins' filters to detections before they are recorded."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog
from retinue_sdk import Detection, Findings, ImageReference, InvalidImageError, Result
from retinue_sdk.errors import format_error
from retinue_sdk.plugins.manager import Filter

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of all plugins, in the order of their application. False if there are none.

    Attributes:
        filters: The filters.
    """

    filters: Sequence[Filter] = ()

    def __bool__(self) -> bool:
        return bool(self.filters)

    def fingerprint(self, detector: str) -> str:
        """Return a detector's fingerprint combined with the versions of the filters.

        Args:
            detector: The fingerprint of the detector itself.
        """
        if not self.filters:
            return detector
        text = json.dumps([detector, *(one.source for one in self.filters)])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def apply(self, detector: str, image: ImageReference, findings: Findings) -> Result:
        """Pass findings through the filters.

        Args:
            detector: The detector's name.
            image: The processed image.
            findings: The detector's findings.

        Returns:
            The filtered findings, without the raw response if a filter returned detections; or the
            error ``filter_failed`` if a filter raised, so that nothing unfiltered is recorded.
        """
        try:
            detections = tuple(replace(found) for found in findings.detections)
        except Exception:  # noqa: BLE001 - not worth a filter's time; refused when recorded
            return findings
        is_filtered = False
        for one in self.filters:
            try:
                kept = one.apply(image=image, detector=detector, detections=detections)
                if kept is not None:
                    detections = _checked(kept)
                    is_filtered = True
            except BaseException as error:  # SystemExit must not end the thread
                log.exception("filter_failed", detector=detector, filter=one.source)
                return InvalidImageError(
                    f"{one.source}: {format_error(error)}",
                    code="filter_failed",
                    retryable=True,
                    billed_units=findings.billed_units,
                )
        if not is_filtered:
            return findings
        return replace(findings, detections=detections, raw_response=None)


def _checked(kept: object) -> tuple[Detection, ...]:
    """Return a filter's result after checking that it consists of detections.

    Raises:
        TypeError: It doesn't.
        ValueError: A detection violates the SDK's rules.
    """
    if not isinstance(kept, Sequence):
        raise TypeError(f"a filter returned a {type(kept).__name__}, not a sequence of Detection")
    for found in kept:
        if not isinstance(found, Detection):
            raise TypeError(f"a filter returned a {type(found).__name__} among the detections")
    return tuple(replace(found) for found in kept)
