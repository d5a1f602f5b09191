"""Write the stacks of all threads and asyncio tasks to standard error at a signal."""

import asyncio
import faulthandler
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

SIGNAL = signal.SIGUSR1


def dump_on_signal(loop: asyncio.AbstractEventLoop) -> None:
    """Write all stacks whenever the process receives SIGUSR1.

    faulthandler writes the threads, even while the event loop is blocked. Tasks follow when the
    loop runs.
    """
    loop.add_signal_handler(SIGNAL, _write_tasks, loop)
    faulthandler.register(SIGNAL, all_threads=True, chain=True)


def _write_tasks(loop: asyncio.AbstractEventLoop) -> None:
    with suppress(OSError, ValueError):  # a closed pipe must not stop a worker
        sys.stderr.write(format_tasks(loop))
        sys.stderr.flush()


def format_tasks(loop: asyncio.AbstractEventLoop) -> str:
    """Return the stack of each task of a loop, from its coroutine to the awaited object."""
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    lines = [f"{len(tasks)} asyncio tasks:\n"]
    for task in tasks:
        lines.append(f"\nTask {task.get_name()} (most recent call last):\n")
        frames = [(frame, frame.f_lineno) for frame in _frames(task.get_coro())]
        lines += traceback.StackSummary.extract(iter(frames), lookup_lines=True).format()
    return "".join(lines)


def _frames(awaited: Any) -> Iterator[FrameType]:
    """Yield the frame of a coroutine, then the frames of the objects that it awaits."""
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            yield frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
