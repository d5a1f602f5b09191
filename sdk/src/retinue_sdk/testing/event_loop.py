"""An event loop for the coroutines of a detector under test."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Event, Thread
from typing import Any, TypeVar

T = TypeVar("T")

CLOSE_SECONDS = 10.0
"""Seconds that remaining tasks may take to end when the loop is closed."""


class EventLoopThread:
    """Runs coroutines on a daemon thread, which is abandoned if a coroutine blocks it."""

    def __init__(self) -> None:
        self._ready = Event()
        self._thread = Thread(target=self._serve, name="check event loop", daemon=True)
        self._thread.start()
        self._ready.wait()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Start a coroutine. Cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        """Cancel running coroutines, and end the thread unless it is blocked."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(CLOSE_SECONDS)

    def _serve(self) -> None:
        asyncio.run(self._wait())  # at its end, it cancels the remaining tasks

    async def _wait(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._ready.set()
        await self._stop.wait()
