"""An image fetches once, decodes once, and remembers what can never work."""

import gc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from threading import Barrier, Event

import numpy as np
import pytest
from PIL import Image as PillowImage
from retinue_sdk import (
    Image,
    ImageLimits,
    ImageReference,
    InvalidImageError,
    RetinueError,
    RetriableError,
)

REFERENCE = ImageReference("photos", "cats/tom.jpg", "v1")


def png(width: int = 4, height: int = 2) -> bytes:
    file = BytesIO()
    PillowImage.new("RGB", (width, height), "red").save(file, "PNG")
    return file.getvalue()


class Store:
    """Hands out bytes, or raises, and counts how often it was asked."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.calls = 0

    def load(self) -> bytes:
        self.calls += 1
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_nothing_is_fetched_until_somebody_asks() -> None:
    store = Store(png())
    image = Image(REFERENCE, store.load, size_bytes=5)
    assert image.image_id == REFERENCE.image_id
    assert repr(image) == f"<Image {REFERENCE.image_id} s3://photos/cats/tom.jpg>"
    assert (image.size_px, image.size_bytes, store.calls) == (None, 5, 0)


def test_bytes_are_fetched_and_pixels_decoded_once() -> None:
    store = Store(png())
    image = Image(REFERENCE, store.load)
    assert image.read() is image.read()
    pixels = image.pixels()
    assert image.pixels() is pixels
    assert image.size_px == (4, 2)
    assert store.calls == 1


def test_threads_share_one_fetch_and_one_decode() -> None:
    store = Store(png(300, 300))
    image = Image(REFERENCE, store.load)
    barrier = Barrier(16)

    def use(index: int) -> int:
        barrier.wait()
        return id(image.pixels()) if index % 2 else id(image.read())

    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(use, range(16)))
    assert len(set(ids)) == 2
    assert store.calls == 1


def test_forgetting_does_not_wait_for_a_fetch() -> None:
    began, go = Event(), Event()

    def load() -> bytes:
        began.set()
        assert go.wait(10)
        return png()

    image = Image(REFERENCE, load)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(image.read)
        assert began.wait(10)
        image.forget()
        assert not reading.done()
        go.set()
        assert reading.result() == png()
    assert not image.is_loaded(pixels=False)
    assert image.pixels().shape == (2, 4, 3)


@pytest.mark.parametrize("format_", ["BMP", "JPEG", "PNG"])
def test_pixels_cannot_be_changed(format_: str) -> None:
    file = BytesIO()
    PillowImage.new("RGB", (4, 2)).save(file, format_)
    pixels = Image.from_bytes(file.getvalue()).pixels()
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0, 0] = 1
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        pixels.setflags(write=True)
    assert np.array(pixels).flags.writeable


@pytest.mark.parametrize("use", [Image.read, Image.pixels])
def test_an_image_that_is_gone_is_not_fetched_again(use: Callable[[Image], object]) -> None:
    gone = InvalidImageError("gone", code="object_gone", retryable=True)
    store = Store(gone, png())
    image = Image(REFERENCE, store.load)
    for _ in range(3):
        with pytest.raises(InvalidImageError) as caught:
            use(image)
        assert repr(caught.value) == repr(gone)
        assert vars(caught.value) == vars(gone)
    assert store.calls == 1


@pytest.mark.parametrize(
    "error", [RetriableError("busy"), RetinueError("no network"), OSError("reset")]
)
def test_what_may_pass_is_tried_again(error: Exception) -> None:
    store = Store(error, error, png())
    image = Image(REFERENCE, store.load)
    for use in (image.read, image.pixels):
        with pytest.raises(type(error)):
            use()
    assert image.pixels().shape == (2, 4, 3)
    assert store.calls == 3


def test_an_image_that_cannot_be_decoded_is_decoded_once_and_stays_readable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[bytes] = []

    def decode(data: bytes, limits: ImageLimits) -> None:
        decoded.append(data)
        raise InvalidImageError("corrupt", code="corrupt_image")

    monkeypatch.setattr("retinue_sdk.decode.decode", decode)
    store = Store(b"a format that only some service knows")
    image = Image(REFERENCE, store.load)
    for _ in range(2):
        with pytest.raises(InvalidImageError) as caught:
            image.pixels()
        assert caught.value.code == "corrupt_image"
        # One detector's inability to decode is not another's.
        assert image.read() == b"a format that only some service knows"
    assert (len(decoded), store.calls, image.size_px) == (1, 1, None)


def test_an_error_that_a_detector_catches_keeps_nothing() -> None:
    held: list[weakref.ref[set[str]]] = []

    def detect(image: Image) -> None:
        variable = {"pixels"}
        held.append(weakref.ref(variable))
        with suppress(InvalidImageError):
            image.pixels()

    def fail() -> bytes:
        raise InvalidImageError("gone")

    gc.collect()
    gc.disable()
    try:
        undecodable, gone = Image.from_bytes(b"text"), Image(REFERENCE, fail)
        for image in (undecodable, undecodable, gone, gone):
            detect(image)
        assert [reference() for reference in held] == [None] * 4
    finally:
        gc.enable()


def test_running_out_of_memory_is_not_the_images_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.from_bytes(png())

    def decode(data: bytes, limits: ImageLimits) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("retinue_sdk.decode.decode", decode)
        with pytest.raises(MemoryError):
            image.pixels()
    assert image.pixels().shape == (2, 4, 3)


@pytest.mark.parametrize(("size_bytes", "code"), [(0, "empty_file"), (101, "too_many_bytes")])
def test_an_announced_size_is_checked_before_fetching(size_bytes: int, code: str) -> None:
    store = Store(png())
    image = Image(REFERENCE, store.load, limits=ImageLimits(max_bytes=100), size_bytes=size_bytes)
    for _ in range(2):
        with pytest.raises(InvalidImageError) as caught:
            image.read()
        assert caught.value.code == code
    assert store.calls == 0


@pytest.mark.parametrize(("data", "code"), [(b"", "empty_file"), (b"x" * 101, "too_many_bytes")])
def test_the_true_size_is_checked_after_fetching(data: bytes, code: str) -> None:
    store = Store(data)
    image = Image(REFERENCE, store.load, limits=ImageLimits(max_bytes=100), size_bytes=50)
    for use in (image.read, image.pixels):
        with pytest.raises(InvalidImageError) as caught:
            use()
        assert caught.value.code == code
    assert store.calls == 1


def test_an_image_for_trying_a_detector(tmp_path: Path) -> None:
    path = tmp_path / "tom.png"
    path.write_bytes(png())
    image = Image.from_file(path)
    assert image.reference.uri == "s3://memory/tom.png"
    assert image.reference == Image.from_bytes(png(), key="tom.png").reference
    assert image.reference != Image.from_bytes(png(5), key="tom.png").reference
    assert image.size_bytes == len(png())
    assert image.pixels().shape == (2, 4, 3)
    with pytest.raises(OSError, match="no-such-file"):
        Image.from_file(tmp_path / "no-such-file")
