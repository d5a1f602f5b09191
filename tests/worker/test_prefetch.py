"""Images are loaded ahead of the detectors, never more of them than may be held."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from fakes import work
from fakes.waiting import settle, until
from hypothesis import given
from hypothesis import strategies as st
from retinue_sdk import Image, Input, InvalidImageError, RetriableError
from retinue_workers.intake.prefetch import Form, Hold, Prefetch

BYTES = Form(Input.BYTES)


def image(load: Callable[[], bytes] = lambda: b"data") -> Image:
    return work.image(load=load)


def has_bytes(one: Image) -> bool:
    return one.is_loaded(pixels=False)


@asynccontextmanager
async def prefetching(max_images: int = 3, threads: int = 2) -> AsyncIterator[Prefetch]:
    prefetch = Prefetch(threads=threads, max_images=max_images)
    yield prefetch
    prefetch.close()


class User:
    """A task that has an image loaded until it is told to let go."""

    def __init__(self, hold: Hold) -> None:
        self.is_inside = False
        self._go = asyncio.Event()
        self._task = asyncio.create_task(self._use(hold))

    async def _use(self, hold: Hold) -> None:
        async with hold:
            self.is_inside = True
            await self._go.wait()

    async def let_go(self) -> None:
        self._go.set()
        await self._task

    async def cancel(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


async def test_no_more_are_held_than_may_be() -> None:
    async with prefetching(max_images=3, threads=4) as prefetch:
        images = [image() for _ in range(20)]
        users = [User(prefetch.hold(one, BYTES)) for one in images]
        for number in range(3, 21):
            await until(lambda n=number: sum(user.is_inside for user in users) == n)
            assert sum(map(has_bytes, images)) == 3
            await users[number - 3].let_go()
        for user in users[-2:]:
            await user.let_go()
        assert not any(map(has_bytes, images))


async def test_those_who_hold_the_same_image_share_its_bytes_and_its_room() -> None:
    fetched: list[int] = []

    def load() -> bytes:
        fetched.append(1)
        return b"data"

    async with prefetching(max_images=1) as prefetch:
        shared, other = image(load), image()
        users = [User(prefetch.hold(shared, BYTES)) for _ in range(3)]
        last = User(prefetch.hold(other, BYTES))
        await until(lambda: all(user.is_inside for user in users))
        assert fetched == [1]
        for user in users[:2]:
            await user.let_go()
        await settle()
        assert has_bytes(shared)
        assert not last.is_inside
        await users[2].let_go()
        assert not has_bytes(shared)
        await until(lambda: last.is_inside)
        await last.let_go()


async def test_a_reservation_keeps_what_another_has_loaded() -> None:
    """A task that waits for the result of another detector on the image will need it soon."""
    async with prefetching(max_images=1) as prefetch:
        shared = image()
        with prefetch.hold(shared, BYTES) as waiting:
            user = User(prefetch.hold(shared, BYTES))
            await until(lambda: user.is_inside)
            await user.let_go()
            assert has_bytes(shared)
            async with waiting:
                assert has_bytes(shared)
            assert not has_bytes(shared), "the reservation ends with its use"


async def test_a_task_that_waits_to_be_retried_holds_neither_room_nor_bytes() -> None:
    async with prefetching(max_images=1) as prefetch:
        first, second = image(), image()
        with prefetch.hold(first, BYTES) as hold:
            async with hold:
                assert has_bytes(first)
            assert not has_bytes(first)
            async with prefetch.hold(second, BYTES):
                assert has_bytes(second)
            async with hold:
                assert has_bytes(first)


async def test_redelivered_images_are_loaded_one_at_a_time_beside_others() -> None:
    async with prefetching(max_images=4) as prefetch:
        again = [User(prefetch.hold(image(), BYTES, is_redelivered=True)) for _ in range(3)]
        first = User(prefetch.hold(image(), BYTES))
        for number in range(3):
            await until(lambda n=number: first.is_inside and again[n].is_inside)
            await settle()
            assert sum(user.is_inside for user in again) == number + 1
            await again[number].let_go()
        await first.let_go()


async def test_a_reservation_alone_takes_no_room_and_loads_nothing() -> None:
    async with prefetching(max_images=1) as prefetch:
        one = image(work.unread)
        with prefetch.hold(one, BYTES):
            async with prefetch.hold(image(), BYTES):
                pass


async def test_a_detector_by_reference_takes_no_room_and_loads_nothing() -> None:
    async with prefetching(max_images=1) as prefetch:
        users = [User(prefetch.hold(image(work.unread), Form(Input.REFERENCE))) for _ in range(5)]
        await until(lambda: all(user.is_inside for user in users))
        for user in users:
            await user.let_go()


@pytest.mark.parametrize(
    "error", [InvalidImageError("no"), RetriableError("no"), RuntimeError("no"), MemoryError("no")]
)
@pytest.mark.parametrize(
    "wanted", [BYTES, Form(Input.PIXELS), Form(Input.PIXELS, lambda image: image.pixels())]
)
async def test_an_image_that_cannot_be_loaded_goes_on_and_keeps_its_room(
    error: Exception, wanted: Form
) -> None:
    def fail() -> bytes:
        raise error

    async with prefetching(max_images=2, threads=1) as prefetch:
        users = [User(prefetch.hold(image(fail), wanted)) for _ in range(3)]
        await until(lambda: sum(user.is_inside for user in users) == 2)
        await users[0].let_go()
        await until(lambda: users[2].is_inside)
        for user in users[1:]:
            await user.let_go()
        bad = image(fail)
        failed = await prefetch.load(bad, wanted)
        assert type(failed) is type(error)
        assert failed.__traceback__ is None, "its frames would keep the image"


async def test_bytes_are_freed_when_every_detector_has_prepared_its_own() -> None:
    fetched: list[int] = []

    def load() -> bytes:
        fetched.append(1)
        return b"data"

    def first(image: Image) -> bytes:
        return b"first of " + image.read()

    def second(image: Image) -> bytes:
        return b"second of " + image.read()

    async with prefetching() as prefetch:
        shared = image(load)
        with prefetch.hold(shared, Form(Input.PIXELS, second)) as waiting:
            async with prefetch.hold(shared, Form(Input.PIXELS, first)):
                assert has_bytes(shared), "the other has yet to prepare it"
                async with waiting:
                    assert not has_bytes(shared)
                    assert shared.prepared(first) == b"first of data"
                    assert shared.prepared(second) == b"second of data"
                    assert fetched == [1]
        assert not shared.is_prepared(first)
        async with prefetch.hold(shared, BYTES), prefetch.hold(shared, Form(Input.PIXELS, first)):
            assert has_bytes(shared), "one needs them"


async def test_a_hanging_preparation_is_left_to_the_call() -> None:
    go = threading.Event()

    def hang(image: Image) -> str:
        assert go.wait(10)
        return "prepared"

    prefetch = Prefetch(threads=1, max_images=2, prepare_seconds=0.01)
    one, form = image(), Form(Input.PIXELS, hang)
    async with prefetch.hold(one, form):
        # The call waits for it, within its deadline.
        await until(lambda: form.is_loaded(one))
        async with prefetch.hold(image(), BYTES):
            go.set()
            assert one.prepared(hang) == "prepared"
    prefetch.close()


async def test_waiting_for_a_thread_takes_no_time_of_a_preparation() -> None:
    go = threading.Event()
    prefetch = Prefetch(threads=1, max_images=3, prepare_seconds=0.7)

    def hang(image: Image) -> str:
        assert go.wait(10)
        return "too late"

    def at_once(image: Image) -> str:
        return "prepared"

    slow, quick = Form(Input.PIXELS, hang), Form(Input.PIXELS, at_once)
    waiting = image()
    users = [User(prefetch.hold(image(), slow)) for _ in range(2)]
    users.append(User(prefetch.hold(waiting, quick)))
    await until(lambda: all(user.is_inside for user in users))
    assert waiting.is_prepared(at_once)
    go.set()
    for user in users:
        await user.let_go()
    prefetch.close()


@pytest.mark.parametrize("stage", ["waits for room", "loads"])
async def test_a_cancelled_task_gives_its_place_up(stage: str) -> None:
    go = threading.Event()
    ended: list[bool] = []

    def slow() -> bytes:
        ended.append(go.wait(10))
        return b"data"

    async with prefetching(max_images=1) as prefetch:
        first = User(prefetch.hold(image(), BYTES))
        await until(lambda: first.is_inside)
        if stage == "loads":
            await first.let_go()
        cancelled = User(prefetch.hold(image(slow), BYTES))
        await settle()
        await cancelled.cancel()
        if stage != "loads":
            await first.let_go()
        async with prefetch.hold(image(), BYTES):
            assert not ended
        go.set()


@given(plan=st.lists(st.integers(0, 5), max_size=25), max_images=st.integers(1, 3))
def test_whoever_comes_and_goes_the_bound_holds_and_everyone_gets_a_turn(
    plan: list[int], max_images: int
) -> None:
    async def play() -> None:
        async with prefetching(max_images=max_images) as prefetch:
            images = [image() for _ in range(6)]
            inside: list[Image] = []
            most = 0

            async def use(one: Image) -> None:
                nonlocal most
                async with prefetch.hold(one, BYTES):
                    assert has_bytes(one)
                    inside.append(one)
                    most = max(most, len(set(inside)))
                    await asyncio.sleep(0)
                    inside.remove(one)

            await asyncio.gather(*(use(images[index]) for index in plan))
            assert most <= max_images
            assert not any(map(has_bytes, images))

    asyncio.run(asyncio.wait_for(play(), 10))
