"""Blocking code on threads that outlive nothing and are reused."""

import asyncio
import threading
import time
from contextvars import ContextVar
from typing import Any

import pytest
from fakes.waiting import settle, until, worker_threads
from retinue_workers.limits.threads import DaemonThreads, NoThreadError


class UnprintableExit(SystemExit):
    """An exit that cannot even be described."""

    def __str__(self) -> str:
        raise ValueError("no words")


async def test_a_function_returns_its_result_from_a_thread_that_is_reused() -> None:
    threads = DaemonThreads("test", 3)
    names = [await threads.run(threading.get_ident) for _ in range(5)]
    assert len(set(names)) == 1
    assert names[0] != threading.get_ident()
    threads.close()


async def test_no_more_run_than_the_limit() -> None:
    threads, go = DaemonThreads("test", 2), threading.Event()
    inside: list[int] = []
    running = [asyncio.create_task(threads.run(lambda: inside.append(1) or go.wait(10)))]
    running += [asyncio.create_task(threads.run(lambda: inside.append(1))) for _ in range(3)]
    await until(lambda: len(inside) == 4)  # the second thread does the rest
    assert not running[0].done()
    assert len(worker_threads()) == 2
    go.set()
    await asyncio.gather(*running)
    threads.close()


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (ValueError("no"), "ValueError: no"),
        (SystemExit("no"), "RuntimeError: SystemExit: no"),
        (KeyboardInterrupt(), "RuntimeError: KeyboardInterrupt: "),
        (StopIteration("no"), "RuntimeError: StopIteration: no"),
        (UnprintableExit(), "RuntimeError: UnprintableExit"),
    ],
)
async def test_whatever_is_raised_arrives_and_the_thread_goes_on(
    raised: BaseException, seen: str
) -> None:
    threads = DaemonThreads("test", 1)

    def fail() -> None:
        raise raised

    with pytest.raises(Exception) as caught:  # noqa: PT011
        await asyncio.wait_for(threads.run(fail), 5)
    assert f"{type(caught.value).__name__}: {caught.value}" == seen
    assert await threads.run(lambda: 5) == 5
    threads.close()


async def test_a_cancelled_call_abandons_its_thread_and_makes_room() -> None:
    threads, go, inside = DaemonThreads("test", 1), threading.Event(), threading.Event()
    hung = asyncio.create_task(threads.run(lambda: inside.set() or go.wait(20)))
    await until(inside.is_set)
    hung.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hung
    assert await threads.run(lambda: 5) == 5
    assert len(worker_threads()) == 2
    go.set()
    await until(lambda: len(worker_threads()) == 1, what="the abandoned thread to end")
    threads.close()


async def test_a_call_that_waits_for_room_can_be_cancelled() -> None:
    threads, go = DaemonThreads("test", 1), threading.Event()
    first = asyncio.create_task(threads.run(go.wait, 20))
    waiting = asyncio.create_task(threads.run(lambda: 1))
    await settle()
    waiting.cancel()
    go.set()
    assert await first is True
    assert waiting.cancelled()
    assert await threads.run(lambda: 5) == 5
    threads.close()


async def test_a_waiting_call_gets_a_thread_in_place_of_one_that_is_abandoned() -> None:
    threads, go, inside = DaemonThreads("test", 1), threading.Event(), threading.Event()
    hung = asyncio.create_task(threads.run(lambda: inside.set() or go.wait(20)))
    await until(inside.is_set)
    waiting = [asyncio.create_task(threads.run(lambda: 5)) for _ in range(2)]
    await settle()
    threads.close()
    hung.cancel()
    assert await asyncio.gather(*waiting) == [5, 5]
    assert await threads.run(lambda: 6) == 6
    go.set()
    await until(lambda: worker_threads() == [])


async def test_if_no_thread_can_be_started_no_call_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, go, inside = DaemonThreads("test", 1), threading.Event(), threading.Event()
    hung = asyncio.create_task(threads.run(lambda: inside.set() or go.wait(20)))
    await until(inside.is_set)
    waiting = asyncio.create_task(threads.run(lambda: 5))
    await settle()

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        hung.cancel()
        with pytest.raises(NoThreadError, match="can't start"):
            await waiting
        with pytest.raises(NoThreadError, match="can't start"):
            await threads.run(lambda: 5)
    assert await threads.run(lambda: 5) == 5
    threads.close()
    go.set()


async def test_the_time_limit_of_a_call_excludes_its_wait() -> None:
    threads, go, inside = DaemonThreads("test", 1), threading.Event(), threading.Event()
    first = asyncio.create_task(threads.run(lambda: inside.set() or go.wait(20)))
    await until(inside.is_set)
    waiting = asyncio.create_task(threads.run(lambda: 5, timeout_seconds=0.01))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.1)
    go.set()
    assert await first is True
    assert await waiting == 5
    with pytest.raises(TimeoutError):
        await threads.run(threading.Event().wait, 0.5, timeout_seconds=0.01)
    assert await threads.run(lambda: 5, timeout_seconds=20) == 5
    threads.close()


async def test_a_result_that_came_in_time_is_returned_by_a_loop_that_is_late() -> None:
    threads, go, next_began = DaemonThreads("test", 1), threading.Event(), threading.Event()
    call = asyncio.create_task(threads.run(lambda: go.wait(20), timeout_seconds=0.05))
    following = asyncio.create_task(threads.run(next_began.set))
    await settle()
    go.set()
    assert next_began.wait(20), "the first function has returned"
    time.sleep(0.06)  # blocks the event loop
    assert await call is True
    await following
    threads.close()


async def test_results_that_are_not_urgent_are_returned_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("retinue_workers.limits.threads.COLLECT_SECONDS", 60)
    threads, go, inside = DaemonThreads("test", 1), threading.Event(), threading.Event()
    functions = (lambda: 1, lambda: inside.set() or go.wait(20), lambda: 3)
    calls = [asyncio.create_task(threads.run(one, is_urgent=False)) for one in functions]
    await until(inside.is_set)
    await settle()
    assert not calls[0].done()
    assert threads.is_busy
    go.set()
    assert await asyncio.wait_for(asyncio.gather(*calls), 20) == [1, True, 3]
    assert not threads.is_busy
    threads.close()


async def test_a_result_that_is_not_urgent_does_not_wait_for_a_function_that_hangs() -> None:
    threads, go = DaemonThreads("test", 1), threading.Event()
    functions = (lambda: 1, lambda: go.wait(20), lambda: 3)
    calls = [asyncio.create_task(threads.run(one, is_urgent=False)) for one in functions]
    assert await asyncio.wait_for(calls[0], 10) == 1
    assert not calls[1].done()
    go.set()
    assert await asyncio.gather(*calls) == [1, True, 3]
    threads.close()


async def test_after_the_close_a_thread_ends_with_its_function() -> None:
    threads, go = DaemonThreads("test", 1), threading.Event()
    running = asyncio.create_task(threads.run(go.wait, 20))
    await settle()
    threads.close()
    go.set()
    assert await running is True
    await until(lambda: worker_threads() == [])


async def test_a_thread_sees_the_context_of_its_coroutine() -> None:
    variable: ContextVar[str] = ContextVar("variable")
    threads = DaemonThreads("test", 1)

    async def ask(value: str) -> str:
        variable.set(value)
        return await threads.run(variable.get)

    assert await asyncio.gather(*map(ask, "abc")) == ["a", "b", "c"]
    threads.close()


def test_a_thread_whose_loop_is_gone_ends_with_its_function() -> None:
    threads: list[DaemonThreads] = []
    go, inside = threading.Event(), threading.Event()

    async def leave() -> None:
        threads.append(DaemonThreads("test", 1))
        hung: Any = asyncio.create_task(threads[0].run(lambda: inside.set() or go.wait(20)))
        await until(inside.is_set)
        hung.cancel()

    asyncio.run(leave())
    go.set()  # no_thread_left sees that it ends
