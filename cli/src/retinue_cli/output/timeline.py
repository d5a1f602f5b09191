"""Draw when something appears in a video, as PNG or as a page."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from retinue_sdk import Detection

from retinue_cli.output.attributes import clock, printable, span

if TYPE_CHECKING:
    from PIL.Image import Image

    from retinue_cli.output.image_view import ImageView

WIDTH_PX = 1_600
MARGIN_PX = 24
NAMES_PX = 300
"""Width of the column with the labels."""

LANE_PX = 18
GAP_PX = 8
AXIS_PX = 40
FONT_PX = 15
MIN_BAR_PX = 4
"""Minimum width of a bar, so that a moment is visible."""

MAX_ROWS = 60
"""Maximum number of labels; those that appear for the longest time."""

_STEPS_MS = [
    step * unit
    for unit, steps in ((1_000, (1, 2, 5, 10, 15, 30)), (60_000, (1, 2, 5, 10, 15, 30)))
    for step in steps
] + [3_600_000 * hours for hours in (1, 2, 6)]
_MAX_TICKS = 12

_INK, _DIM, _LINE, _PAPER = "#1b1b20", "#6a6a75", "#e3e3e8", "#ffffff"


@dataclass(frozen=True, slots=True)
class Bar:
    """One appearance: its place in pixels, its colour, and its description."""

    left: float
    top: float
    width: float
    colour: str
    title: str


@dataclass(frozen=True, slots=True)
class Row:
    """A label with its appearances, in as many lanes as overlap."""

    detector: str
    label: str
    top: float
    height: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """A drawing of a video's appearances.

    Attributes:
        title: The video's address.
        height: Its height in pixels.
        rows: The labels.
        ticks: Places of the axis in pixels, with their times.
        left_out: Number of labels without a row.
    """

    title: str
    height: float
    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    left_out: int

    def save(self, path: Path) -> None:
        """Write a page if the path ends with ``.html``, and a picture of its format otherwise."""
        if path.suffix.lower() == ".html":
            path.write_text(self.page(), encoding="utf-8")
        else:
            self.picture().save(path)

    def page(self) -> str:
        """Return a page with the timeline. It needs no other file."""
        parts = [
            f'<line x1="{x:.1f}" y1="{AXIS_PX}" x2="{x:.1f}" y2="{self.height - MARGIN_PX}" '
            f'stroke="{_LINE}"/><text x="{x:.1f}" y="{AXIS_PX - 12}" fill="{_DIM}" '
            f'text-anchor="middle">{text}</text>'
            for x, text in self.ticks
        ]
        for row in self.rows:
            middle = row.top + LANE_PX * 0.72
            parts.append(
                f'<text x="{MARGIN_PX}" y="{middle:.1f}">{escape(row.label)} '
                f'<tspan fill="{_DIM}">{escape(row.detector)}</tspan></text>'
            )
            parts += [
                f'<rect x="{bar.left:.1f}" y="{bar.top:.1f}" width="{bar.width:.1f}" '
                f'height="{LANE_PX - 4}" rx="3" fill="{bar.colour}">'
                f"<title>{escape(bar.title)}</title></rect>"
                for bar in row.bars
            ]
        body = "\n".join(parts)
        return (
            f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
            f"<title>{escape(self.title)}</title>\n"
            f"<style>body {{ font: {FONT_PX}px system-ui, sans-serif; color: {_INK} }} "
            "svg { max-width: 100% } rect:hover { stroke: #000; stroke-width: 2 }</style>\n"
            f"<h1>{escape(self.title)}</h1>\n"
            f'<svg viewBox="0 0 {WIDTH_PX} {self.height:.0f}" width="{WIDTH_PX}" role="img" '
            f'aria-label="Timeline" font-size="{FONT_PX}" fill="{_INK}">\n{body}\n</svg>\n'
            f"{f'<p>{self.left_out:,} more labels</p>' if self.left_out else ''}</html>\n"
        )

    def picture(self) -> "Image":
        """Return the timeline as a picture."""
        from PIL import Image, ImageDraw, ImageFont

        picture = Image.new("RGB", (WIDTH_PX, round(self.height)), _PAPER)
        pen, font = ImageDraw.Draw(picture), ImageFont.load_default(FONT_PX)
        for x, text in self.ticks:
            pen.line((x, AXIS_PX, x, self.height - MARGIN_PX), _LINE)
            pen.text((x, AXIS_PX - 26), text, _DIM, font, anchor="ma")
        for row in self.rows:
            room = NAMES_PX - MARGIN_PX
            label = _shortened(row.label, font.getlength, room)
            pen.text((MARGIN_PX, row.top), label, _INK, font)
            begin = MARGIN_PX + font.getlength(f"{label}  ")
            detector = _shortened(row.detector, font.getlength, NAMES_PX - begin)
            pen.text((begin, row.top), detector, _DIM, font)
            for bar in row.bars:
                edges = (bar.left, bar.top, bar.left + bar.width, bar.top + LANE_PX - 4)
                pen.rounded_rectangle(edges, 3, bar.colour)
        return picture


def timeline(video: "ImageView") -> Timeline:
    """Return the timeline of a video: a row for each label of each detector."""
    found = [
        (run.detector, one)
        for run in video.runs
        for one in run.detections
        if one.start_ms is not None
    ]
    last_ms = max((one.end_ms or 0 for _, one in found), default=0)
    duration_ms = max(video.duration_ms or 0, last_ms, 1)
    rows: dict[tuple[str, str, str], list[Detection]] = {}
    for detector, one in sorted(found, key=lambda of: (of[1].start_ms or 0, of[1].end_ms or 0)):
        rows.setdefault((detector, one.kind, one.label), []).append(one)
    longest = sorted(rows, key=lambda key: -sum(map(_duration_ms, rows[key])))[:MAX_ROWS]
    shown = [key for key in rows if key in set(longest)]
    shown.sort(key=lambda key: key[0])  # by detector, otherwise by the first appearance
    scale = (WIDTH_PX - NAMES_PX - 2 * MARGIN_PX) / duration_ms
    top, drawn = AXIS_PX + GAP_PX, []
    for key in shown:
        lanes = list(_lanes(rows[key]))
        bars = tuple(
            _bar(one, lane, top, scale) for one, lane in zip(rows[key], lanes, strict=True)
        )
        height = (max(lanes) + 1) * LANE_PX
        drawn.append(Row(key[0], printable(key[2]), top, height, bars))
        top += height + GAP_PX
    step_ms = next((step for step in _STEPS_MS if duration_ms / step <= _MAX_TICKS), _STEPS_MS[-1])
    ticks = tuple(
        (NAMES_PX + MARGIN_PX + time_ms * scale, clock(time_ms)[:-2])
        for time_ms in range(0, duration_ms + 1, step_ms)
    )
    title = printable(video.reference.uri)
    return Timeline(title, top + MARGIN_PX, tuple(drawn), ticks, len(rows) - len(shown))


def _duration_ms(one: Detection) -> int:
    return (one.end_ms or 0) - (one.start_ms or 0)


def _lanes(found: Sequence[Detection]) -> Iterator[int]:
    """Yield the first free lane for each appearance. They are sorted by start."""
    ends: list[int] = []
    for one in found:
        start_ms, end_ms = one.start_ms or 0, one.end_ms or 0
        lane = next((index for index, end in enumerate(ends) if end < start_ms), len(ends))
        ends[lane : lane + 1] = [end_ms]
        yield lane


def _bar(one: Detection, lane: int, top: float, scale: float) -> Bar:
    from retinue_cli.output.draw import colour_of

    left = NAMES_PX + MARGIN_PX + (one.start_ms or 0) * scale
    track = "" if one.track is None else f" #{one.track}"
    title = f"{printable(one.label)}{track}, {span(one.start_ms, one.end_ms)}, {one.confidence:.0%}"
    width = max(_duration_ms(one) * scale, MIN_BAR_PX)
    return Bar(left, top + lane * LANE_PX, width, colour_of(one.kind, one.label), title)


def _shortened(text: str, measure: Callable[[str], float], room: float) -> str:
    while text and measure(text) > room:
        text = f"{text[:-2]}…" if len(text) > 2 else ""
    return text
