"""Show a run's progress live, and a message if it stops."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bar,
)
from rich.text import Text

from retinue_cli.local.progress import Done

POLL_SECONDS = 0.1
STALLED_SECONDS = 10.0
"""Seconds without progress before the worker's latest warning is shown."""

IDLE_POLLS = 5
"""How often in a row the queue must be empty before missing outcomes are given up."""


class Watch:
    """Shows the progress of a run.

    Args:
        bar: The progress bar.
        uploads: Its line for uploads.
        runs: Its line for runs.
    """

    def __init__(self, bar: Bar, uploads: TaskID, runs: TaskID) -> None:
        self._bar = bar
        self._uploads = uploads
        self._runs = runs
        self._note = ""
        self._videos: dict[str, TaskID] = {}

    def uploaded(self) -> None:
        """Count an uploaded photograph."""
        self._bar.advance(self._uploads)

    def follow(
        self,
        ask: Callable[[], Done],
        total: int,
        *,
        check: Callable[[], None],
        complaint: Callable[[], str | None],
        is_idle: Callable[[], bool],
        videos: Callable[[], Mapping[str, tuple[int, int | None]]] = dict,
    ) -> tuple[Done, bool]:
        """Wait until all runs have an outcome, or no more outcomes can be expected.

        Args:
            ask: Returns how many have one.
            total: The expected number.
            check: Called regularly. It raises if waiting is useless.
            complaint: Returns the worker's latest warning, which is shown without progress.
            is_idle: Returns whether no message is waiting or in flight.
            videos: Returns how far each video is, in milliseconds, with its duration if known.

        Returns:
            The number of runs with an outcome, and whether that is all.
        """
        self._bar.update(self._runs, total=total)
        moved, before, idle = time.monotonic(), -1, 0
        while True:
            asked = time.monotonic()
            done = ask()
            took = time.monotonic() - asked
            self._bar.update(self._runs, completed=done.total)
            if done.total >= total:
                self._show_videos({})
                return done, True
            check()
            if self._show_videos(videos()):
                moved = time.monotonic()
            if done.total != before:
                moved, before, idle = time.monotonic(), done.total, 0
            elif time.monotonic() - moved > STALLED_SECONDS:
                self._say(complaint() or "waiting for the worker")
            if time.monotonic() - moved > 1.0:
                idle = idle + 1 if is_idle() else 0
                if idle >= IDLE_POLLS:
                    return done, False
            time.sleep(max(POLL_SECONDS, took * 4))  # queries must not slow the worker down

    def _show_videos(self, videos: Mapping[str, tuple[int, int | None]]) -> bool:
        """Show a line for each video, and return whether there is any."""
        for name in self._videos.keys() - videos.keys():
            self._bar.remove_task(self._videos.pop(name))
        for name, (time_ms, duration_ms) in videos.items():
            seconds = None if duration_ms is None else duration_ms // 1_000
            if name not in self._videos:
                self._videos[name] = self._bar.add_task(f"{escape(name)}: seconds", total=seconds)
            self._bar.update(self._videos[name], completed=time_ms // 1_000)
        return bool(videos)

    def _say(self, note: str) -> None:
        """Print a line above the bars, unless it repeats the last one."""
        if note != self._note:
            self._note = note
            line = Text(" ".join(note.split()), style="yellow")
            self._bar.console.print(line, overflow="ellipsis", no_wrap=True)


@contextmanager
def watch(console: Console, *, files: int, runs: int) -> Iterator[Watch]:
    """Show a progress bar inside the block.

    Args:
        console: The console.
        files: Number of photographs and videos.
        runs: Number of runs on them.
    """
    with Bar(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as bar:
        yield Watch(
            bar,
            bar.add_task("uploading images", total=files),
            bar.add_task("running detectors", total=runs),
        )
