"""Run blocking code on daemon threads, for coroutines that await it."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from enum import Enum
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeAlias, TypeVar

from retinue_sdk.errors import format_error

ResultT = TypeVar("ResultT")

COLLECT_SECONDS = 0.02
"""How long results that aren't urgent are collected, in seconds."""


class NoThreadError(RuntimeError):
    """No thread can be started now."""


class DaemonThreads:
    """Runs blocking functions, each on a thread of its own, and reuses the threads.

    The threads are daemons, unlike those of an executor. A function that never returns doesn't keep
    the process alive. If the coroutine that awaits it is cancelled, its thread is abandoned: it
    ends when the function returns. Functions wait in a queue, so that a thread takes the next one
    before the event loop has the result of the last.

    Args:
        name: The purpose of the threads, which are named ``retinue-NAME``.
        limit: Maximum number of concurrent functions.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._jobs: _Jobs = SimpleQueue()
        self._threads = 0  # that take jobs from the queue
        self._unfinished = 0  # jobs that wait or run
        self._collected: deque[Callable[[], None]] = deque()  # functions that set results
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def is_busy(self) -> bool:
        """Return whether a function runs, waits for a thread, or its result is not returned."""
        return self._unfinished > 0

    async def run(
        self,
        function: Callable[..., ResultT],
        *arguments: Any,
        timeout_seconds: float | None = None,
        is_urgent: bool = True,
    ) -> ResultT:
        """Call ``function`` on a thread and return its result.

        Args:
            function: The function.
            arguments: Its arguments.
            timeout_seconds: Its time limit, without the wait for a thread.
            is_urgent: Whether the result is returned immediately. Otherwise, while functions wait
                for a thread, results are returned together, up to ``COLLECT_SECONDS`` later: to
                wake the event loop for each one takes more time than to return them.

        Raises:
            NoThreadError: The system can't start another thread.
            TimeoutError: The time is over. The thread is abandoned.
            Exception: The function's own exception. ``StopIteration``, and a ``BaseException`` such
                as ``SystemExit``, become a ``RuntimeError``, because they would be lost or end
                the event loop.
        """
        loop = asyncio.get_running_loop()
        if not is_urgent and self._timer is None:
            self._timer = loop.call_later(COLLECT_SECONDS, self._return_regularly)
        give = loop.call_soon_threadsafe if is_urgent else partial(self._collect, loop)
        job = _Job(function, arguments, timeout_seconds, give)
        self._unfinished += 1
        try:
            if self._closed:
                self._start_last_thread(job)
            else:
                self._start_threads()
                self._jobs.put(job)
            result: ResultT = await job.future
            return result
        finally:
            self._unfinished -= 1
            if job.leave():
                self._threads -= 1
                self._replace_thread()

    def close(self) -> None:
        """End idle threads now, and the others when their functions return."""
        self._closed = True
        self._jobs.put(None)  # each thread leaves it for the next one

    def _collect(self, loop: asyncio.AbstractEventLoop, finish: Callable[[], None]) -> None:
        """Keep a result on its thread, and return all results if no job waits."""
        self._collected.append(finish)
        if self._jobs.empty():
            loop.call_soon_threadsafe(self._return_collected)

    def _return_collected(self) -> None:
        while self._collected:
            self._collected.popleft()()

    def _return_regularly(self) -> None:
        """Return collected results until there are no more jobs."""
        self._return_collected()
        self._timer = None
        if self._unfinished:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(COLLECT_SECONDS, self._return_regularly)

    def _start_threads(self) -> None:
        """Start a thread if there may be none for a job, up to the limit."""
        while self._threads < min(self._unfinished, self._limit):
            self._start_thread(self._jobs)
            self._threads += 1

    def _start_last_thread(self, job: "_Job") -> None:
        """Start a thread for one job."""
        jobs: _Jobs = SimpleQueue()
        jobs.put(job)
        jobs.put(None)
        self._start_thread(jobs)

    def _start_thread(self, jobs: "_Jobs") -> None:
        thread = Thread(target=_work, args=(jobs,), name=f"retinue-{self._name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise NoThreadError(str(error)) from error

    def _replace_thread(self) -> None:
        """Replace a thread that was abandoned, if jobs wait for one."""
        try:
            self._start_threads()
        except NoThreadError as error:
            while not self._threads:
                try:
                    job = self._jobs.get_nowait()
                except Empty:
                    break
                if job is not None:
                    _finish(job.future, None, error)


class _State(Enum):
    """The state of a job."""

    WAITING = 1
    RUNNING = 2
    RETURNED = 3
    ABANDONED = 4


class _Job:
    """A function that a coroutine awaits.

    Args:
        function: The function.
        arguments: Its arguments.
        timeout_seconds: Its time limit from when it begins.
        give: Takes, on the job's thread, a function for the event loop that sets the result.

    Attributes:
        future: Its result.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        timeout_seconds: float | None,
        give: Callable[[Callable[[], None]], object],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._give = give
        self.future: asyncio.Future[Any] = self._loop.create_future()
        self._function, self._arguments = function, arguments
        self._context = copy_context()
        self._lock = Lock()
        self._state = _State.WAITING
        self._began_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        if timeout_seconds is not None:
            self._timer = self._loop.call_later(timeout_seconds, self._check_time, timeout_seconds)

    def run(self) -> bool:
        """Call the function on this thread. Return whether the thread may take another job."""
        with self._lock:
            if self._state is _State.ABANDONED:
                return True
            self._state = _State.RUNNING
            self._began_at = self._loop.time()
        result: Any = None
        error: Exception | None = None
        try:
            result = self._context.run(self._function, *self._arguments)
        except StopIteration as raised:  # which a future doesn't accept
            error = RuntimeError(format_error(raised))
        except Exception as raised:  # noqa: BLE001 - raised again in the coroutine
            error = raised
        except BaseException as raised:  # noqa: BLE001 - SystemExit must not end the event loop
            error = RuntimeError(format_error(raised))
        with self._lock:
            if self._state is _State.ABANDONED:
                return False
            self._state = _State.RETURNED
        try:
            self._give(partial(_finish, self.future, result, error))
        except RuntimeError:  # the loop is closed, so nothing waits
            return False
        return True

    def leave(self) -> bool:
        """End the wait for the result. Return whether a thread is abandoned with the function."""
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            is_running = self._state is _State.RUNNING
            if self._state is not _State.RETURNED:
                self._state = _State.ABANDONED
            return is_running

    def _check_time(self, timeout_seconds: float) -> None:
        """End the wait if the function has had its time, otherwise look again later."""
        left = timeout_seconds
        if self._state is _State.RETURNED:  # in time; the event loop is late
            return
        if self._state is not _State.WAITING:
            left += self._began_at - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check_time, timeout_seconds)
        else:
            _finish(self.future, None, TimeoutError())


_Jobs: TypeAlias = "SimpleQueue[_Job | None]"


def _work(jobs: _Jobs) -> None:
    # No variable for the job here: it would keep the job's images while the thread waits.
    while _take(jobs.get(), jobs):
        pass


def _take(job: _Job | None, jobs: _Jobs) -> bool:
    if job is None:
        jobs.put(None)
        return False
    return job.run()


def _finish(future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
