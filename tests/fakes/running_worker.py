"""A worker on an event loop of its own, for tests that are not coroutines."""

import asyncio
from collections.abc import Callable
from threading import Event, Thread

from retinue_workers.worker import Worker


class RunningWorker:
    """Makes, starts and stops a worker on a thread.

    Args:
        make: Makes the worker; called on the event loop.

    Attributes:
        worker: The worker, once it is started.
    """

    def __init__(self, make: Callable[[], Worker]) -> None:
        self._make = make
        self._started = Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = Thread(target=self._run, name="event-loop", daemon=True)
        self.worker: Worker

    def start(self) -> None:
        """Start the worker; return when it receives, or raise what kept it from it."""
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    def stop(self) -> None:
        """Stop the worker, and return when it has stopped."""
        if self._thread.is_alive() and self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self.worker = self._make()
        await self.worker.start()
        self._started.set()
        await self._stopping.wait()
        await self.worker.stop()
