"""Items of many coroutines share calls, and each gets its own result."""

import asyncio
from collections.abc import Sequence

import pytest
from fakes.waiting import settle, until
from hypothesis import given
from hypothesis import strategies as st
from retinue_workers.limits import batching
from retinue_workers.limits.batching import BUSY_ITEMS, Batcher


class Service:
    """Doubles numbers, call by call.

    Attributes:
        calls: What each call was about.
        go: Unset while calls wait.
        error: Raised by each call, if it is set.
    """

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.inside = self.most_inside = 0
        self.go = asyncio.Event()
        self.go.set()
        self.error: Exception | None = None

    async def call(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.calls.append(list(items))
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        await self.go.wait()
        self.inside -= 1
        if self.error is not None:
            raise self.error
        return [ValueError(f"{item}") if item < 0 else 2 * item for item in items]


async def test_what_waits_while_a_call_is_under_way_is_the_next_call() -> None:
    service = Service()
    service.go.clear()
    batcher = Batcher(service.call, limit=3)
    first = asyncio.create_task(batcher.submit(0))
    await until(lambda: service.calls)
    rest = [asyncio.create_task(batcher.submit(number)) for number in range(1, 6)]
    await settle()
    assert service.calls == [[0]]
    service.go.set()
    assert await asyncio.gather(first, *rest) == [0, 2, 4, 6, 8, 10]
    assert service.calls == [[0], [1, 2, 3], [4, 5]]


async def test_an_extra_call_is_full() -> None:
    service = Service()
    service.go.clear()
    batcher = Batcher(service.call, limit=3, extra=1)
    first = asyncio.create_task(batcher.submit(0))
    await until(lambda: service.calls)
    rest = [asyncio.create_task(batcher.submit(number)) for number in (1, 2)]
    await settle()
    assert service.calls == [[0]]
    rest += [asyncio.create_task(batcher.submit(number)) for number in range(3, 8)]
    await settle()
    assert service.calls == [[0], [1, 2, 3]]
    service.go.set()
    await asyncio.gather(first, *rest)
    assert service.calls == [[0], [1, 2, 3], [4, 5, 6], [7]]


async def test_items_of_the_same_moment_join() -> None:
    service = Service()
    batcher = Batcher(service.call, limit=10)
    await asyncio.gather(*(batcher.submit(number) for number in range(4)))
    assert service.calls == [[0, 1, 2, 3]]


async def test_a_full_call_does_not_linger() -> None:
    service = Service()
    batcher = Batcher(service.call, limit=2, linger_seconds=3_600)
    answers = asyncio.gather(*(batcher.submit(number) for number in (1, 2)))
    assert await asyncio.wait_for(answers, 5) == [2, 4]


async def test_items_linger_for_others_and_no_longer() -> None:
    service = Service()
    batcher = Batcher(service.call, limit=10, linger_seconds=0.05)
    first = asyncio.create_task(batcher.submit(1))
    await settle()
    assert await asyncio.gather(first, batcher.submit(2)) == [2, 4]
    assert service.calls == [[1, 2]]


@pytest.mark.parametrize("items", [BUSY_ITEMS - 1, BUSY_ITEMS])
async def test_items_wait_for_others_after_a_call_of_many(
    items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "BUSY_LINGER_SECONDS", 3_600)
    service = Service()
    batcher = Batcher(service.call, limit=BUSY_ITEMS)
    await asyncio.gather(*(batcher.submit(number) for number in range(items)))
    one = asyncio.create_task(batcher.submit(items))
    await settle()
    assert service.calls[1:] == ([[items]] if items < BUSY_ITEMS else [])
    rest = [batcher.submit(items + number) for number in range(1, BUSY_ITEMS)]
    await asyncio.gather(one, *rest)
    if items == BUSY_ITEMS:
        assert service.calls[1:] == [[*range(items, 2 * BUSY_ITEMS)]]


async def test_no_more_calls_run_than_the_limit() -> None:
    service = Service()
    service.go.clear()
    batcher = Batcher(service.call, limit=1, concurrency=3)
    answers = [asyncio.create_task(batcher.submit(number)) for number in range(5)]
    await until(lambda: service.inside == 3)
    await settle()
    service.go.set()
    await asyncio.gather(*answers)
    assert service.most_inside == 3


async def test_an_exception_reaches_its_own_item_alone() -> None:
    service = Service()
    batcher = Batcher(service.call, limit=10)
    answers = await asyncio.gather(
        *(batcher.submit(number) for number in (1, -1, 2)), return_exceptions=True
    )
    assert [str(answer) for answer in answers] == ["2", "-1", "4"]
    assert len(service.calls) == 1


async def test_a_call_that_raises_fails_its_items_and_no_later_ones() -> None:
    service = Service()
    service.error = RuntimeError("a bug")
    batcher = Batcher(service.call, limit=10)
    answers = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["a bug"] * 2
    service.error = None
    assert await batcher.submit(3) == 6


async def test_an_item_that_makes_a_call_raise_fails_alone() -> None:
    calls: list[list[int]] = []

    async def call(items: Sequence[int]) -> Sequence[int]:
        calls.append([*items])
        if -1 in items:
            raise ValueError("-1")
        return [2 * item for item in items]

    batcher = Batcher(call, limit=10)
    answers = await asyncio.gather(
        *(batcher.submit(number) for number in (1, -1, 2)), return_exceptions=True
    )
    assert [str(answer) for answer in answers] == ["2", "-1", "4"]
    assert calls == [[1, -1, 2], [1], [-1], [2]]


async def test_a_cancelled_item_is_left_out() -> None:
    service = Service()
    service.go.clear()
    batcher = Batcher(service.call, limit=10)
    under_way = asyncio.create_task(batcher.submit(0))
    await until(lambda: service.calls)
    waiting = [asyncio.create_task(batcher.submit(number)) for number in (1, 2)]
    await settle()
    waiting[0].cancel()
    under_way.cancel()
    await settle()
    service.go.set()
    assert await waiting[1] == 4
    assert service.calls == [[0], [2]]


async def test_only_cancelled_items_make_no_call() -> None:
    service = Service()
    batcher = Batcher(service.call, limit=2, linger_seconds=3_600)
    waiting = asyncio.create_task(batcher.submit(1))
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    batcher._linger_is_over()
    await settle()
    assert service.calls == []
    assert await asyncio.gather(batcher.submit(2), batcher.submit(3)) == [4, 6]
    assert service.calls == [[2, 3]]


@given(
    limit=st.integers(1, 5),
    concurrency=st.integers(1, 3),
    groups=st.lists(st.integers(1, 12), min_size=1, max_size=5),
)
def test_every_item_is_in_one_call_and_gets_its_result(
    limit: int, concurrency: int, groups: list[int]
) -> None:
    async def submit() -> None:
        service = Service()
        batcher = Batcher(service.call, limit=limit, concurrency=concurrency)
        answers = []
        for number in groups:
            start = len(answers)
            answers += [asyncio.create_task(batcher.submit(start + n)) for n in range(number)]
            await asyncio.sleep(0)
        assert await asyncio.gather(*answers) == [2 * n for n in range(len(answers))]
        assert [item for call in service.calls for item in call] == [*range(len(answers))]
        assert max(map(len, service.calls)) <= limit
        assert service.most_inside <= concurrency

    asyncio.run(submit())
