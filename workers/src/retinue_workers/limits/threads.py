"""Run blocking code on daemon threads, for coroutines that await it."""

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeAlias, TypeVar

from retinue_sdk.errors import format_error

ResultT = TypeVar("ResultT")


class NoThreadError(RuntimeError):
    """No thread can be started now."""


class DaemonThreads:
    """Runs blocking functions, each on a thread of its own, and reuses the threads.

    The threads are daemons, unlike those of an executor. A function that never returns doesn't keep
    the process alive. If the coroutine that awaits it is cancelled, its thread is abandoned: it
    ends when the function returns.

    Args:
        name: The purpose of the threads, which are named ``retinue-NAME``.
        limit: Maximum number of concurrent functions.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._room = asyncio.Semaphore(limit)
        self._idle: list[_DaemonThread] = []
        self._closed = False

    async def run(
        self,
        function: Callable[..., ResultT],
        *arguments: Any,
        timeout_seconds: float | None = None,
    ) -> ResultT:
        """Call ``function`` on a thread and return its result.

        Args:
            function: The function.
            arguments: Its arguments.
            timeout_seconds: Its time limit, without the wait for a thread.

        Raises:
            NoThreadError: The system can't start another thread.
            TimeoutError: The time is over. The thread is abandoned.
            Exception: The function's own exception. ``StopIteration``, and a ``BaseException`` such
                as ``SystemExit``, become a ``RuntimeError``, because they would be lost or end
                the event loop.
        """
        async with self._room:
            thread = self._idle.pop() if self._idle else _DaemonThread(self._name)
            future = thread.start(function, arguments)
            try:
                async with asyncio.timeout(timeout_seconds):
                    return await future
            finally:
                if future.cancelled() or self._closed:
                    thread.end()
                else:
                    self._idle.append(thread)

    def close(self) -> None:
        """End idle threads now, and the others when their functions return."""
        self._closed = True
        while self._idle:
            self._idle.pop().end()


_Job: TypeAlias = tuple[
    Context, Callable[..., Any], tuple[Any, ...], "asyncio.Future[Any]", asyncio.AbstractEventLoop
]


class _DaemonThread:
    """A thread that runs one function at a time."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        thread = Thread(target=self._work, name=f"retinue-{name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise NoThreadError(str(error)) from error

    def start(
        self, function: Callable[..., ResultT], arguments: tuple[Any, ...]
    ) -> "asyncio.Future[ResultT]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ResultT] = loop.create_future()
        self._jobs.put((copy_context(), function, arguments, future, loop))
        return future

    def end(self) -> None:
        self._jobs.put(None)

    def _work(self) -> None:
        # No variable for the job here: it would keep the job's images while the thread waits.
        while self._serve(self._jobs.get()):
            pass

    def _serve(self, job: _Job | None) -> bool:
        if job is None:
            return False
        context, function, arguments, future, loop = job
        result: Any = None
        error: Exception | None = None
        try:
            result = context.run(function, *arguments)
        except StopIteration as raised:  # which a future doesn't accept
            error = RuntimeError(format_error(raised))
        except Exception as raised:  # noqa: BLE001 - raised again in the coroutine
            error = raised
        except BaseException as raised:  # noqa: BLE001 - SystemExit must not end the event loop
            error = RuntimeError(format_error(raised))
        try:
            loop.call_soon_threadsafe(_finish, future, result, error)
        except RuntimeError:  # the loop is closed, so nothing waits
            return False
        return True


def _finish(future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
