"""Memory: images go when they are done with."""

import gc
import re
import sys
import threading
import weakref
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fakes.events import BUCKET, body, record
from fakes.history import MemoryHistory
from fakes.rig import Rig, keys
from fakes.waiting import eventually
from PIL import Image as PillowImage
from retinue_history import HistoryUnavailableError
from retinue_sdk import Image, ImageLimits, Pixels
from retinue_sdk.decode import decode as real_decode


class LiveImages:
    """Counts decoded images in memory.

    Attributes:
        now: How many there are.
        most: How many there were at most.
    """

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self._lock = threading.Lock()
        self._references: list[Any] = []

    def watch(self, pixels: Any) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self._references.append(weakref.ref(pixels, self._gone))

    def _gone(self, _: Any) -> None:
        self.now -= 1  # under the interpreter's own lock: no other thread may hold ours


@pytest.fixture
def live_images(monkeypatch: pytest.MonkeyPatch) -> LiveImages:
    live = LiveImages()

    def decode(data: bytes, limits: ImageLimits) -> Pixels:
        pixels = real_decode(data, limits)
        live.watch(pixels)
        return pixels

    monkeypatch.setattr("retinue_sdk.decode.decode", decode)
    return live


def test_no_more_images_are_held_than_may_be_even_beside_a_detector_by_reference(
    memory_rig: Rig, live_images: LiveImages
) -> None:
    for index in range(30):
        memory_rig.upload(f"{index}.png", _png())
    memory_rig.work_off(
        {"echo": {}, "pixels": {"hold_seconds": 0.005, "max_batch_size": 2}}, prefetch_images=3
    )
    assert live_images.most <= 3
    eventually(lambda: live_images.now == 0)


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
def test_small_files_that_decode_to_much_do_not_exceed_the_memory_for_decoding(
    memory_rig: Rig,
) -> None:
    """Twelve PNGs of 29 kB, of the largest size, took 4.2 GB and killed a worker of 2 GiB."""
    file = BytesIO()
    PillowImage.new("RGBA", (1_800, 1_800)).save(file, "PNG")
    limit_bytes = 40 * 2**20  # three images in pixels, or one being decoded
    memory_rig.upload("innocent.png", _png())
    for index in range(12):
        memory_rig.upload(f"{index}.png", file.getvalue())
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again, proc(5)
    before_bytes = _status_bytes("VmRSS")
    memory_rig.work_off({"pixels": {"max_batch_size": 8}}, max_decoding_bytes=limit_bytes)
    assert [run.outcome for run in memory_rig.history.runs] == ["succeeded"] * 13
    assert _status_bytes("VmHWM") - before_bytes < limit_bytes + 24 * 2**20


def _status_bytes(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(re.search(name + r":\s+(\d+)", status)[1]) * 1_024


def test_a_message_with_many_images_does_not_hold_them_all(
    memory_rig: Rig, live_images: LiveImages
) -> None:
    records = []
    for index in range(20):
        key = f"{index}.png"
        etag = memory_rig.s3.put_object(Bucket=BUCKET, Key=key, Body=_png())["ETag"].strip('"')
        records.append(record(key, etag=etag))
    memory_rig.queue.send(body(*records))
    memory_rig.work_off({"pixels": {"max_batch_size": 2}}, prefetch_images=3)
    assert live_images.most <= 3
    eventually(lambda: live_images.now == 0)
    assert isinstance(memory_rig.history, MemoryHistory)
    assert [image.width_px for image in memory_rig.history.images] == [8] * 20


def test_images_are_let_go_while_the_database_takes_no_runs(
    memory_rig: Rig, live_images: LiveImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise HistoryUnavailableError("read only")

    for index in range(10):
        memory_rig.upload(f"{index}.png", _png())
    with monkeypatch.context() as patch:
        patch.setattr(memory_rig.history, "record", refuse)
        with memory_rig.running({"pixels": {}}, prefetch_images=3):
            eventually(lambda: len(memory_rig.s3.gets) == 10)
            assert not memory_rig.queue.empty()
            patch.undo()
            memory_rig.wait_until_empty()
    assert live_images.most <= 3


def _png() -> bytes:
    file = BytesIO()
    PillowImage.new("RGB", (8, 8), "red").save(file, "PNG")
    return file.getvalue()


def test_an_image_that_cannot_be_decoded_is_let_go_without_the_garbage_collector(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error was raised, and refers to the frames, which refer to the image."""
    images: list[weakref.ref[Image]] = []

    class Watched(Image):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            images.append(weakref.ref(self))

    monkeypatch.setattr("retinue_workers.intake.s3.Image", Watched)
    for key in keys(20):
        memory_rig.upload(key, b"no image")
    gc.collect()
    gc.disable()
    try:
        memory_rig.work_off({"pixels": {}, "bytes": {}}, prefetch_images=3)
        eventually(lambda: sum(image() is not None for image in images) == 0)
    finally:
        gc.enable()
    assert len(images) == 20
    assert len(memory_rig.s3.gets) == 20  # fetched once for both detectors
