"""Show the progress of a training on standard error."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from retinue_sdk.training import ShowProgress, TrainingProgress

LINE_SECONDS = 10.0
"""Interval of lines without a terminal."""


@contextmanager
def training_progress() -> Iterator[ShowProgress]:
    """Yield a function that shows a bar with loss, F1 score and time left for each stage.

    Without a terminal on standard error, it prints a line every ten seconds.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}{task.fields[figures]}, left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = {}
        spoken = time.monotonic()

        def show(state: TrainingProgress) -> None:
            nonlocal spoken
            if state.stage not in tasks:
                tasks[state.stage] = bars.add_task(state.stage, total=state.total, figures="")
            figures = _figures(state)
            task = tasks[state.stage]
            bars.update(task, completed=state.done, figures=figures)
            if not console.is_terminal and time.monotonic() - spoken >= LINE_SECONDS:
                spoken = time.monotonic()
                left = bars.tasks[task].time_remaining
                figures += "" if left is None else f", left: {timedelta(seconds=int(left))}"
                console.print(f"{state.stage}: {state.done:,}/{state.total:,}{figures}")

        yield show


def _figures(state: TrainingProgress) -> str:
    loss = "" if state.loss is None else f", loss {state.loss:.4f}"
    return loss + ("" if state.f1 is None else f", F1 {state.f1:.3f}")
