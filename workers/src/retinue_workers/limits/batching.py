"""Make one call for the items of many coroutines."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

BUSY_ITEMS = 5
"""Number of items in the last call from which the next items wait for others."""

BUSY_LINGER_SECONDS = 0.01
"""How long they wait, in seconds. Longer waits save no more time, and hold up more images."""


class Batcher(Generic[ItemT, ResultT]):
    """Collects items while calls are running, and makes one call for those that wait.

    If an item makes a call fail, only that item fails.

    Args:
        call: Takes the items and returns for each, in order, its result or the exception to raise.
        limit: Maximum number of items in a call.
        concurrency: Maximum number of concurrent calls.
        extra: Maximum number of further concurrent calls, each of which is full.
        linger_seconds: How long items wait for a full call. By default, ``BUSY_LINGER_SECONDS``
            after a call of ``BUSY_ITEMS`` or more, and not at all after a smaller one.
    """

    def __init__(
        self,
        call: Callable[[Sequence[ItemT]], Awaitable[Sequence[ResultT | Exception]]],
        *,
        limit: int,
        concurrency: int = 1,
        extra: int = 0,
        linger_seconds: float | None = None,
    ) -> None:
        self._call = call
        self._limit = limit
        self._concurrency = concurrency
        self._extra = extra
        self._linger_seconds = linger_seconds
        self._last_size = 0
        self._waiting: deque[tuple[ItemT, asyncio.Future[ResultT]]] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    async def submit(self, item: ItemT) -> ResultT:
        """Include ``item`` in a call, and return its result.

        Raises:
            Exception: The exception that the call returned for the item, or raised for it alone.
        """
        future: asyncio.Future[ResultT] = self._loop.create_future()
        self._waiting.append((item, future))
        if len(self._waiting) >= self._limit:
            self._start_calls()
        elif self._timer is None:  # even without lingering, simultaneous items share a call
            self._timer = self._loop.call_later(self._linger(), self._linger_is_over)
        return await future

    def _linger(self) -> float:
        if self._linger_seconds is not None:
            return self._linger_seconds
        return BUSY_LINGER_SECONDS if self._last_size >= BUSY_ITEMS else 0.0

    def _linger_is_over(self) -> None:
        self._timer = None
        self._start_calls()

    def _start_calls(self) -> None:
        while self._waiting and len(self._calls) < self._allowed_calls():
            size = min(self._limit, len(self._waiting))
            taken = [self._waiting.popleft() for _ in range(size)]
            batch = [(item, future) for item, future in taken if not future.done()]
            if batch:
                self._last_size = len(batch)
                task = asyncio.create_task(self._run(batch))
                self._calls.add(task)
                task.add_done_callback(self._end_call)

    def _allowed_calls(self) -> int:
        is_full = len(self._waiting) >= self._limit
        return self._concurrency + (self._extra if is_full else 0)

    def _end_call(self, task: "asyncio.Task[None]") -> None:
        self._calls.discard(task)
        if self._timer is None or len(self._waiting) >= self._limit:
            self._start_calls()

    async def _run(self, batch: Sequence[tuple[ItemT, "asyncio.Future[ResultT]"]]) -> None:
        results = await self._results([item for item, _ in batch])
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():  # cancelled meanwhile
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    async def _results(self, items: Sequence[ItemT]) -> Sequence[ResultT | Exception]:
        """Call for all items together. If that fails, call for each one alone."""
        try:
            return await self._call(items)
        except Exception as error:  # noqa: BLE001 - raised where the items come from
            if len(items) == 1:
                return [error]
        return [result for item in items for result in await self._results([item])]
