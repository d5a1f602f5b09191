"""Show progress on standard error, so that standard output has only results."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show progress. Yield a function to call with the number of finished items.

    Without a terminal on standard error, nothing is shown.

    Args:
        what: The name of the items, such as ``detections``.
        total: The approximate number, if known.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False)
    about = f" of about {total:,}" if total else ""
    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:,.0f}" + about + f" {what}, {{task.fields[rate]}} a second"),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        task = bars.add_task(what, total=total or None, rate="–")
        waiting = 0

        def advance(number: int) -> None:
            nonlocal waiting
            waiting += number
            if waiting >= _STEP:
                speed = bars.tasks[0].speed
                bars.update(task, advance=waiting, rate=f"{speed:,.0f}" if speed else "–")
                waiting = 0

        yield advance


_STEP = 1_000
"""Interval between updates. An update for each of ten million rows would take most of the time."""
