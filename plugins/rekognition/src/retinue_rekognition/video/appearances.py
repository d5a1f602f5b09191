"""Collect the items of a job's result as appearances.

Rekognition answers in two ways. A *span* is one item with a start and an end. A *sample* is an item
for one thing at one time, several times a second, and samples of the same thing are joined to one
appearance. So memory grows with the number of appearances, not with the number of samples.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any, Protocol

from retinue_sdk import Appearance, BoundingBox, Detection, InvalidImageError
from retinue_sdk.detection import MAX_INTEGER

from retinue_rekognition.convert import Item, json_object, without

MAX_APPEARANCES = 100_000
"""Maximum number of appearances in a video. More would fill the worker's memory."""

MEASURED_SAMPLES = 1_000
"""The number of samples from which the sampling interval is measured."""

MAX_INTERVAL_MS = 1_000
"""Maximum of the measured sampling interval. Rekognition looks at several frames a second, but if
nothing appears in two successive ones, the measured interval is longer.
"""

GAP_INTERVALS = 2
"""Maximum gap within an appearance, in sampling intervals: one sample may miss it."""

MIN_OVERLAP = 0.1
"""Minimum intersection over union of a box with the one before. Objects move between samples."""

MAX_OPEN = 1_000
"""Maximum number of appearances that wait for another sample. Answers have up to about 200."""


class Collector(Protocol):
    """Collects the items of a result."""

    def add(self, items: Iterable[Item]) -> None:
        """Add the items of a page.

        Raises:
            InvalidImageError: There are more than ``MAX_APPEARANCES``.
        """

    def detections(self) -> list[Detection]:
        """Return the appearances, by their time. Call it once, after the last page."""


class Spans:
    """Collects items that have a start and an end.

    Args:
        convert: Returns an item as a detection.
    """

    def __init__(self, convert: Callable[[Item], Detection]) -> None:
        self._convert = convert
        self._found: list[Detection] = []

    def add(self, items: Iterable[Item]) -> None:
        """Add the items of a page."""
        for item in items:
            _append(self._found, self._convert(item))

    def detections(self) -> list[Detection]:
        """Return the appearances, by their time."""
        return _by_time(self._found)


@dataclass(frozen=True, slots=True)
class Sample:
    """One thing at one time.

    Attributes:
        at_ms: The time; ``None`` if the answer has none that can be stored.
        detection: The thing, without a time.
        identity: Samples with different identities are never joined.
        is_unique: Whether the identity is enough to join samples. Otherwise their boxes must
            overlap.
        track: The number of the object, if the answer has one.
    """

    at_ms: int | None
    detection: Detection
    identity: Hashable
    is_unique: bool = False
    track: int | None = None


class JoinedSamples:
    """Collects samples, and joins those of the same thing in time.

    A sample continues an appearance if their identities are equal, their boxes overlap (unless the
    identity is unique) and the gap is at most ``GAP_INTERVALS`` sampling intervals. Each
    appearance gets at most one sample of each time.

    Args:
        convert: Returns the samples of an item.
    """

    def __init__(self, convert: Callable[[Item], Iterable[Sample]]) -> None:
        self._convert = convert
        self._waiting: list[Sample] = []
        self._max_gap_ms: int | None = None
        self._open: dict[Hashable, list[Appearance]] = defaultdict(list)
        self._open_count = 0
        self._found: list[Detection] = []

    def add(self, items: Iterable[Item]) -> None:
        """Add the items of a page."""
        for item in items:
            for sample in self._convert(item):
                if sample.at_ms is None:
                    _append(self._found, sample.detection)
                else:
                    self._waiting.append(sample)
        self._measure(MEASURED_SAMPLES)
        if self._max_gap_ms is not None:
            self._join(is_last=False)

    def detections(self) -> list[Detection]:
        """Return the appearances, by their time."""
        self._measure(1)
        self._join(is_last=True)
        for appearances in self._open.values():
            for appearance in appearances:
                _append(self._found, appearance.detection())
        self._open.clear()
        return _by_time(self._found)

    def _measure(self, samples: int) -> None:
        """Measure the sampling interval as soon as there are enough samples."""
        if self._max_gap_ms is None and len(self._waiting) >= samples:
            times = sorted({_time(sample) for sample in self._waiting[:MEASURED_SAMPLES]})
            steps = [after - before for before, after in pairwise(times)]
            interval = statistics.median_low(steps) if steps else MAX_INTERVAL_MS
            self._max_gap_ms = GAP_INTERVALS * min(interval, MAX_INTERVAL_MS)

    def _join(self, *, is_last: bool) -> None:
        """Join the waiting samples. The last ones wait for others of the same time."""
        waiting, self._waiting = sorted(self._waiting, key=_time), []
        groups = [(at, list(samples)) for at, samples in groupby(waiting, key=_time)]
        if not is_last and groups and len(groups[-1][1]) < MEASURED_SAMPLES:
            self._waiting = groups.pop()[1]
        for at, samples in groups:
            self._join_group(at, samples)

    def _join_group(self, at_ms: int, samples: list[Sample]) -> None:
        """Join the samples of one time, those with the largest overlap first."""
        gap = self._max_gap_ms or 0
        self._close(lambda appearance: _gap_ms(appearance, at_ms) > gap)
        pairs = []
        for number, sample in enumerate(samples):
            for place, appearance in enumerate(self._open.get(sample.identity, ())):
                if at_ms in (appearance.start_ms, appearance.end_ms):
                    continue  # it has a sample of this time
                overlap = _overlap(appearance.box, sample.detection.box)
                if overlap >= MIN_OVERLAP or sample.is_unique:
                    pairs.append((-overlap, place, number, appearance))
        joined: set[int] = set()
        taken: set[int] = set()
        for _, _, number, appearance in sorted(pairs, key=lambda pair: pair[:3]):
            if number not in joined and id(appearance) not in taken:
                appearance.add(at_ms, samples[number].detection)
                joined.add(number)
                taken.add(id(appearance))
        for number, sample in enumerate(samples):
            if number not in joined:
                found = Appearance(at_ms, sample.detection, sample.track)
                self._open[sample.identity].append(found)
                self._open_count += 1
        if self._open_count > MAX_OPEN:
            ends = sorted(a.end_ms for opened in self._open.values() for a in opened)
            self._close(lambda appearance: appearance.end_ms <= ends[-MAX_OPEN // 2])

    def _close(self, is_over: Callable[[Appearance], bool]) -> None:
        """Close appearances, so that no further sample is joined."""
        for identity, appearances in list(self._open.items()):
            over = [appearance for appearance in appearances if is_over(appearance)]
            if not over:
                continue
            for appearance in over:
                _append(self._found, appearance.detection())
            self._open_count -= len(over)
            if len(over) == len(appearances):
                del self._open[identity]
            else:
                self._open[identity] = [a for a in appearances if not is_over(a)]


def flat(item: Item, key: str) -> dict[str, Any]:
    """Return an item with the fields of the object in it, such as ``Label``."""
    return without(item, key) | json_object(item.get(key))


def timed(item: Item, key: str) -> tuple[int | None, dict[str, Any]]:
    """Return a sample's time, and its other fields with those of the object in it.

    A time that the history can't store stays in the fields.
    """
    at_ms = stored_integer(item.get("Timestamp"))
    return at_ms, flat(item if at_ms is None else without(item, "Timestamp"), key)


def stored_integer(value: Any) -> int | None:
    """Return a time in milliseconds, or a track; ``None`` if the history can't store it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_INTEGER:
        return None
    return value


def with_span(detection: Detection) -> Detection:
    """Return a span's detection with its times, which are moved out of the attributes.

    As for other columns, values that the columns don't repeat exactly also stay in the attributes.
    """
    attributes = dict(detection.attributes)
    at = stored_integer(attributes.get("Timestamp"))
    start = stored_integer(attributes.get("StartTimestampMillis"))
    end = stored_integer(attributes.get("EndTimestampMillis"))
    known = [time for time in (start, at, end) if time is not None]
    if not known:
        return detection
    first = known[0]
    last = first if end is None else max(first, end)
    repeated = {
        "Timestamp": first,
        "StartTimestampMillis": first,
        "EndTimestampMillis": last,
        "DurationMillis": last - first,
    }
    for name, value in repeated.items():
        if name in attributes and stored_integer(attributes[name]) == value:
            del attributes[name]
    return replace(detection, attributes=attributes, start_ms=first, end_ms=last)


def _gap_ms(appearance: Appearance, at_ms: int) -> int:
    """Return the time between an appearance and a sample; 0 within it."""
    return max(appearance.start_ms - at_ms, at_ms - appearance.end_ms, 0)


def _time(sample: Sample) -> int:
    return sample.at_ms or 0


def _overlap(one: BoundingBox | None, other: BoundingBox | None) -> float:
    """Return the intersection over union. Two missing boxes are equal."""
    if one is None or other is None:
        return 1.0 if one is other else 0.0
    return one.iou(other)


def _append(found: list[Detection], new: Detection) -> None:
    if len(found) >= MAX_APPEARANCES:
        raise InvalidImageError(
            f"Rekognition found more than {MAX_APPEARANCES:,} appearances in the video. Split it, "
            "or set a higher min_confidence",
            code="invalid_result",
        )
    found.append(new)


def _by_time(found: list[Detection]) -> list[Detection]:
    """Sort appearances by their start. Those without a time come first."""
    return sorted(
        found, key=lambda one: (-1, -1) if one.start_ms is None else (one.start_ms, one.end_ms)
    )
