"""Images are made ready ahead of the detectors, never more of them than may be held."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from fakes.deliveries import attempt
from fakes.waiting import eventually
from retinue_sdk import Image, ImageReference, Input, InvalidImageError, RetriableError
from retinue_workers.dispatch.completion import Settlement
from retinue_workers.intake.prefetch import Loader

NUMBERS = iter(range(10**9))


def image(load: Callable[[], bytes] = lambda: b"data") -> Image:
    return Image(ImageReference("b", f"{next(NUMBERS)}.jpg", etag="e"), load)


@pytest.fixture
def make() -> Iterator[Callable[..., Loader]]:
    made: list[Loader] = []

    def make(threads: int = 2, prefetch_images: int = 3) -> Loader:
        made.append(Loader(threads=threads, prefetch_images=prefetch_images))
        made[-1].start()
        return made[-1]

    yield make
    for loader in made:
        loader.stop()


def _has(ready: list[Image], number: int) -> bool:
    return len(ready) == number


def test_no_more_are_held_than_may_be(make: Callable[..., Loader]) -> None:
    loader = make(threads=4, prefetch_images=3)
    ready: list[Image] = []
    images = [image() for _ in range(20)]
    for one in images:
        loader.load(one, Input.BYTES, uses=1, then=partial(ready.append, one))
    for expected in range(3, 20):
        eventually(partial(_has, ready, expected))
        assert sum(one._data is not None for one in images) == expected
        loader.release(ready[expected - 3])
    eventually(lambda: len(ready) == 20)


def test_room_is_free_after_the_last_use(make: Callable[..., Loader]) -> None:
    loader = make(prefetch_images=1)
    first, second = image(), image()
    ready: list[Image] = []
    loader.load(first, Input.BYTES, uses=3, then=lambda: ready.append(first))
    loader.load(second, Input.BYTES, uses=1, then=lambda: ready.append(second))
    eventually(lambda: ready == [first])
    loader.release(first)
    loader.release(first)
    loader.release(image())  # one that was never loaded
    assert second._data is None
    loader.release(first)
    eventually(lambda: ready == [first, second])


def test_one_release_too_many_makes_no_room(make: Callable[..., Loader]) -> None:
    loader = make(prefetch_images=1)
    ready: list[Image] = []
    images = [image() for _ in range(4)]
    for one in images:
        loader.load(one, Input.BYTES, uses=1, then=partial(ready.append, one))
    eventually(lambda: len(ready) == 1)
    for _ in range(5):
        loader.release(ready[0])
    eventually(lambda: len(ready) == 2)
    assert sum(one._data is not None for one in images) == 2


@pytest.mark.parametrize(
    "error",
    [InvalidImageError("no"), RetriableError("no"), RuntimeError("no"), MemoryError("no")],
)
def test_an_image_that_cannot_be_loaded_goes_on_all_the_same(
    make: Callable[..., Loader], error: Exception
) -> None:
    def load() -> bytes:
        raise error

    loader = make(threads=1)
    done = threading.Event()
    for _ in range(3):
        loader.load(image(load), Input.PIXELS, uses=1, then=lambda: None)
    loader.load(image(load), Input.BYTES, uses=1, then=done.set)
    # Four with room for three: the failed ones hold their room until they are settled.
    assert not done.wait(0.05)


def test_what_waits_for_room_goes_on_when_it_stops(make: Callable[..., Loader]) -> None:
    loader = make(threads=2, prefetch_images=1)
    ready: list[Any] = []
    images = [image() for _ in range(10)]
    for one in images:
        loader.load(one, Input.BYTES, uses=1, then=partial(ready.append, one))
    eventually(lambda: len(ready) == 1)
    loader.stop()
    eventually(lambda: len(ready) == 10)
    assert sum(one._data is not None for one in images) == 1
    late = image()
    loader.load(late, Input.BYTES, uses=1, then=lambda: ready.append(late))
    assert ready[-1] is late  # at once, on the caller's own thread
    assert late._data is None


def test_a_loader_can_stop_before_it_starts() -> None:
    loader = Loader(threads=2, prefetch_images=1)
    loader.stop()
    loader.start()


def test_an_image_that_waits_to_be_tried_again_holds_neither_room_nor_bytes(
    make: Callable[..., Loader],
) -> None:
    loader = make(threads=1, prefetch_images=1)
    settlement = Settlement(loader, lambda delivery: None)
    first, second = attempt(), image()
    waiting = Image(first.image.reference, lambda: b"data")
    first.image = waiting
    ready: list[Image] = []
    loader.load(waiting, Input.BYTES, uses=1, then=partial(ready.append, waiting))
    loader.load(second, Input.BYTES, uses=1, then=partial(ready.append, second))
    eventually(lambda: ready == [waiting])
    settlement.park(first)
    eventually(lambda: ready == [waiting, second])
    assert waiting._data is None
    assert waiting.read() == b"data"  # as its detector does when its turn comes
    settlement.park(first)
    assert waiting._data is None
    assert second._data is not None


def test_an_image_that_another_detector_still_uses_is_kept(make: Callable[..., Loader]) -> None:
    loader = make(threads=1, prefetch_images=1)
    settlement = Settlement(loader, lambda delivery: None)
    one = attempt()
    one.image = shared = image()
    ready: list[Image] = []
    loader.load(shared, Input.BYTES, uses=2, then=partial(ready.append, shared))
    eventually(lambda: ready == [shared])
    settlement.park(one)
    assert shared._data is not None
    loader.release(shared)
    settlement.park(one)
    assert shared._data is None
