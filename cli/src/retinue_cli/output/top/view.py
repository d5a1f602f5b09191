"""Render the live view with rich."""

import math
from collections import deque
from collections.abc import Sequence
from datetime import timedelta

from retinue_history.analysis.activity import Activity
from retinue_workers.work import QueueDepth
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

WINDOW_SECONDS = 60.0
"""Period of average rates, or less if the pool started later."""

_LONGEST_NAME = 30  # longer lines are cut off in a narrow terminal
_BARS = " ▁▂▃▄▅▆▇█"


class View:
    """Renders snapshots, with a line of recent rates.

    Args:
        queue: The queue's name; ``None`` if none is watched.
        width: Number of snapshots in the line of rates.
    """

    def __init__(self, queue: str | None, *, width: int = 50) -> None:
        self._queue = queue
        self._rates: deque[float] = deque(maxlen=width)

    def draw(
        self, depth: QueueDepth | None, activity: Sequence[Activity], complaint: str = ""
    ) -> RenderableType:
        """Render one snapshot.

        Args:
            depth: The queue's depth; ``None`` if none is watched.
            activity: The activity of the last ``WINDOW_SECONDS``.
            complaint: The dependency that didn't answer.
        """
        rate = max((each.runs / each.seconds for each in activity), default=0.0)
        self._rates.append(rate)
        lines: list[RenderableType] = []
        if depth is not None:
            lines.append(_queue_line(self._queue or "", depth, rate))
        lines.append(
            Text.assemble(
                ("rate   ", "dim"), f"{rate:,.1f} images/s  ", (sparkline(self._rates), "cyan")
            )
        )
        lines.append(_table(activity))
        lines.extend(
            Text(f"{each.detector}: most fail with {each.commonest_error}", style="red")
            for each in activity
            if each.commonest_error
        )
        if activity:
            lines.append(
                Text(f"runs of the last {WINDOW_SECONDS:.0f} s; found: detections an image", "dim")
            )
        if complaint:
            lines.append(Text(complaint, style="yellow"))
        return Group(*lines)


def sparkline(values: Sequence[float] | deque[float]) -> str:
    """Return one bar character per value, scaled to the maximum. Zeros are blanks."""
    most = max(values, default=0.0)
    if most <= 0:
        return _BARS[0] * len(values)
    return "".join(_BARS[math.ceil(value / most * (len(_BARS) - 1))] for value in values)


def _queue_line(name: str, depth: QueueDepth, rate: float) -> Text:
    line = Text.assemble(
        ("queue  ", "dim"),
        (name, "bold"),
        f"\n       waiting {depth.visible:,}   in flight {depth.in_flight:,}   ",
    )
    if depth.dead_letters is None:
        line.append("no dead-letter queue", "yellow")
    else:
        line.append(f"dead {depth.dead_letters:,}", "red bold" if depth.dead_letters else "")
    if depth.total and rate:
        line.append(f"   done in about {timedelta(seconds=round(depth.total / rate))}")
    elif depth.total:
        line.append("   nothing is being done", "yellow")
    return line


def _table(activity: Sequence[Activity]) -> RenderableType:
    if not activity:
        return Text(f"no run was recorded in the last {WINDOW_SECONDS:.0f} seconds", style="dim")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    longest = min(_LONGEST_NAME, max(len(each.detector) for each in activity))
    table.add_column("detector", no_wrap=True, min_width=longest)
    for name in ("runs/s", "found", "p50 ms", "p95 ms", "$/hour", "failed"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in activity:
        table.add_row(
            Text(each.detector),
            f"{each.runs / each.seconds:,.1f}",
            f"{each.detections / each.runs:,.1f}",
            f"{each.p50_ms:,.0f}",
            f"{each.p95_ms:,.0f}",
            f"{float(each.price_usd) * 3_600 / each.seconds:,.2f}",
            Text(f"{each.failed / each.runs:.1%}", style="red" if each.failed else ""),
        )
    return table
