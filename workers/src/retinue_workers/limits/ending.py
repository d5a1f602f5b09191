"""End coroutines within a time limit."""

import asyncio


async def end_tasks(tasks: "set[asyncio.Task[None]]", timeout_seconds: float) -> None:
    """Wait for tasks to end, then cancel the others."""
    if tasks:
        _, pending = await asyncio.wait(set(tasks), timeout=timeout_seconds)
        for task in pending:
            task.cancel()
