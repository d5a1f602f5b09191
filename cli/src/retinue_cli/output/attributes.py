"""Format a detection and its attributes."""

from collections.abc import Mapping
from typing import Any

from retinue_sdk import Detection

EDGES = ("left", "top", "width", "height")
"""The attributes of a box, in ratios of the image."""


def detection_columns(found: Detection) -> dict[str, Any]:
    """Return a detection for programs. The edges are null if it applies to the whole image."""
    return {
        "kind": found.kind,
        "label": found.label,
        "confidence": found.confidence,
        **{f"box_{edge}": found.box and getattr(found.box, edge) for edge in EDGES},
        "start_ms": found.start_ms,
        "end_ms": found.end_ms,
        "track": found.track,
        "attributes": found.attributes,
    }


def brief(attributes: Mapping[str, object]) -> str:
    """Return the attributes with single values in one line, without control characters."""
    return ", ".join(
        f"{printable(name)} {printable(str(value))}"
        for name, value in attributes.items()
        if isinstance(value, str | int | float) and name not in _OF_VIDEOS
    )


def clock(time_ms: int) -> str:
    """Return a time in a video: ``1:02:03.4``, or without hours."""
    tenths = round(time_ms / 100)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{start}:{rest // 10:02}.{rest % 10}"


def span(start_ms: int | None, end_ms: int | None) -> str:
    """Return when something appears in a video; empty without a time."""
    if start_ms is None or end_ms is None:
        return ""
    return clock(start_ms) if start_ms == end_ms else f"{clock(start_ms)} – {clock(end_ms)}"


_OF_VIDEOS = frozenset({"best_ms", "frames"})
"""Attributes of appearances about their detection."""


def printable(text: str) -> str:
    """Return a text without control characters, which could control the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
