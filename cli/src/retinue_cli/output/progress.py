"""Progress of long work, on standard error, so that standard output stays what was asked for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show how far it is; gives a function to call with the number of things just done.

    Nothing is shown where standard error is not a terminal.

    Args:
        what: What is counted, such as ``detections``.
        total: About how many there are, if that is known.
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
"""A display that is touched for each of ten million rows would be what takes longest."""
