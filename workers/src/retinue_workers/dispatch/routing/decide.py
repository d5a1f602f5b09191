"""Decide whether to call a detector for an image, from the known facts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TypeAlias

from retinue_history import DetectionSummary, ImageRecord

from retinue_workers.settings.routes import RequiresDetection, Route


@dataclass(frozen=True, slots=True)
class ObjectMetadata:
    """Facts about an image from S3 and the file's header that routes need.

    Attributes:
        content_type: The object's Content-Type.
        metadata: User metadata, its names in lower case.
        tags: Object tags.
        size_px: Width and height as displayed, in pixels.
    """

    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    size_px: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """The findings of another detector are unknown, for ``reason``."""

    reason: str


KnownDetections: TypeAlias = Sequence[DetectionSummary] | Unknown
"""The findings of another detector."""


@dataclass(frozen=True, slots=True)
class Admit:
    """All conditions are met."""


@dataclass(frozen=True, slots=True)
class Skip:
    """A condition isn't met. ``code`` is for programs, ``reason`` for people."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class NeedsDetections:
    """The result of another detector is needed."""

    detector: str


@dataclass(frozen=True, slots=True)
class NeedsMetadata:
    """The object's metadata, or the file's header, is needed."""


RouteDecision: TypeAlias = Admit | Skip | NeedsDetections | NeedsMetadata


def decide(
    route: Route,
    image: ImageRecord,
    found: Mapping[str, KnownDetections],
    metadata: ObjectMetadata | None,
) -> RouteDecision:
    """Decide with the cheapest facts first: the event, then detections, then metadata from S3.

    Args:
        route: The conditions.
        image: The event's facts.
        found: Known findings of other detectors.
        metadata: The object's metadata; ``None`` until it is known.
    """
    if skip := next(_by_event(route, image), None):
        return skip
    waiting: RouteDecision | None = None
    for required in route.found:
        if required.detector not in found:
            waiting = waiting or NeedsDetections(required.detector)
        elif unmet := _by_findings(required, found[required.detector]):
            return unmet
    if waiting is not None:
        return waiting
    if not (route.needs_head or route.needs_tags or route.needs_size_px):
        return Admit()
    if metadata is None:
        return NeedsMetadata()
    return next(_by_metadata(route, metadata), None) or Admit()


def matches(text: str, patterns: Sequence[str]) -> bool:
    """Return whether one of the patterns matches the whole text. Patterns are case-sensitive."""
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def _by_event(route: Route, image: ImageRecord) -> Iterator[Skip]:
    if route.bucket and not matches(image.bucket, route.bucket):
        yield Skip(
            code="skipped_by_bucket", reason=_unlike("the bucket", image.bucket, route.bucket)
        )
    if route.key and not matches(image.key, route.key):
        yield Skip(code="skipped_by_key", reason=_unlike("the key", image.key, route.key))
    if route.extension:
        extension = PurePosixPath(image.key).suffix.removeprefix(".").lower()
        wanted = [pattern.removeprefix(".").lower() for pattern in route.extension]
        if not matches(extension, wanted):
            yield Skip(
                code="skipped_by_extension", reason=_unlike("the extension", extension, wanted)
            )
    size = image.size_bytes
    if size is not None and (
        reason := _outside("the file", size, "bytes", route.min_size_bytes, route.max_size_bytes)
    ):
        yield Skip(code="skipped_by_size", reason=reason)


def _by_metadata(route: Route, metadata: ObjectMetadata) -> Iterator[Skip]:
    if route.content_type and not matches(metadata.content_type, route.content_type):
        reason = _unlike("the content type", metadata.content_type, route.content_type)
        yield Skip(code="skipped_by_content_type", reason=reason)
    if problem := _unlike_named("metadata", metadata.metadata, route.metadata or {}):
        yield Skip(code="skipped_by_metadata", reason=problem)
    if problem := _unlike_named("tag", metadata.tags, route.tags or {}):
        yield Skip(code="skipped_by_tags", reason=problem)
    if metadata.size_px is not None:
        width, height = metadata.size_px
        problem = _outside(
            "the width", width, "px", route.min_width_px, route.max_width_px
        ) or _outside("the height", height, "px", route.min_height_px, route.max_height_px)
        if problem:
            yield Skip(code="skipped_by_pixels", reason=problem)


def _by_findings(wanted: RequiresDetection, findings: KnownDetections) -> Skip | None:
    if isinstance(findings, Unknown):
        if wanted.if_unknown == "run":
            return None
        return Skip(code="skipped_unknown", reason=findings.reason)
    number = sum(
        seen.confidence >= wanted.min_confidence
        and (wanted.label is None or matches(seen.label, wanted.label))
        and (wanted.kind is None or matches(seen.kind, wanted.kind))
        for seen in findings
    )
    if number >= wanted.min_count:
        return None
    what = " of kind ".join(
        " or ".join(patterns)
        for patterns in (wanted.label or ("detection",), wanted.kind)
        if patterns
    )
    sure = wanted.min_confidence
    return Skip(
        code="skipped_by_findings",
        reason=f"{wanted.detector} found {number or 'no'} {what}"
        + (f" with confidence {sure:g} or more" if sure else "")
        + (f"; {wanted.min_count} needed" if wanted.min_count > 1 else ""),
    )


def _unlike(what: str, text: str, patterns: Sequence[str]) -> str:
    return f"{what} {text!r} does not match {' or '.join(patterns)}"


def _unlike_named(
    what: str, values: Mapping[str, str], wanted: Mapping[str, Sequence[str]]
) -> str | None:
    for name, patterns in wanted.items():
        if name not in values:
            return f"there is no {what} {name}"
        if not matches(values[name], patterns):
            return _unlike(f"the {what} {name}", values[name], patterns)
    return None


def _outside(what: str, number: int, unit: str, least: int | None, most: int | None) -> str | None:
    if least is not None and number < least:
        return f"{what} has {number:,} {unit}; {least:,} or more needed"
    if most is not None and number > most:
        return f"{what} has {number:,} {unit}; {most:,} or fewer needed"
    return None
