"""Decoding takes no more memory than is reserved for it, in any format."""

import io
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from retinue_sdk import ImageLimits, InvalidImageError, decoding_memory
from retinue_sdk.decode import decode
from retinue_sdk.decoding_memory import DecodingMemory, DecodingMemoryError

SIDE_PX = 1_600
NOT_COUNTED_BYTES = 8 * 2**20
"""Strips, tables and what the allocator keeps, of any size of image."""


def saved(mode: str, form: str, **options: object) -> bytes:
    image = PillowImage.new(mode, (SIDE_PX, SIDE_PX))
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def bombs() -> dict[str, bytes]:
    """Return small files that decode to many bytes, of every form."""
    return {
        "jpeg": saved("RGB", "JPEG"),
        "progressive": saved("RGB", "JPEG", progressive=True, subsampling=0),
        "progressive cmyk": saved("CMYK", "JPEG", progressive=True, subsampling=0),
        "truncated jpeg": saved("RGB", "JPEG")[:-500],
        "png": saved("RGBA", "PNG"),
        "palette": saved("P", "PNG", transparency=b"\x00" * 256),
        "deep": saved("I;16", "PNG", transparency=0),
        "truncated png": saved("RGBA", "PNG")[:-500],
        "gif": saved("P", "GIF"),
        "truncated gif": saved("P", "GIF")[:-50],
        "webp": saved("RGB", "WEBP"),
        "lossless webp": saved("RGBA", "WEBP", lossless=True, method=0),
        "tiff": saved("RGBA", "TIFF", compression="tiff_adobe_deflate"),
        "deep tiff": saved("I", "TIFF", compression="tiff_adobe_deflate"),
        "avif": saved("RGBA", "AVIF", speed=10),
        "bmp": saved("RGBA", "BMP"),
    }


MEASURE = """
import io, re, sys
from pathlib import Path
from PIL import Image
from retinue_sdk import ImageLimits
from retinue_sdk.decode import decode
from retinue_sdk.decoding_memory import DecodingMemory

def status(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

reserved = []
class Spy(DecodingMemory):
    def reserved(self, size_bytes):
        reserved.append(size_bytes)
        return super().reserved(size_bytes)

limits = ImageLimits(memory=Spy(2**32))
for path in sys.argv[1:]:
    data = Path(path).read_bytes()
    small = io.BytesIO()
    form = Image.open(io.BytesIO(data)).format
    Image.new("RGB", (8, 8)).save(small, form)
    decode(small.getvalue(), limits)
    reserved.clear()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again, proc(5)
    before = status("VmRSS")
    pixels = decode(data, limits)
    print(status("VmHWM") - before, *reserved, path)
    del pixels
"""


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
def test_no_format_takes_more_than_is_reserved(tmp_path: Path) -> None:
    paths = []
    for name, data in bombs().items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(data)
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, paths)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    lines = re.findall(r"^(\d+) (\d+) .*/(.*)$", measured, re.MULTILINE)
    assert len(lines) == len(paths)
    exceeding = [
        f"{name}: {int(peak) / SIDE_PX**2:.1f} of {int(reserved) / SIDE_PX**2:.1f} bytes per pixel"
        for peak, reserved, name in lines
        if int(peak) > int(reserved) + NOT_COUNTED_BYTES
    ]
    assert not exceeding


def test_an_image_that_can_never_fit_is_refused_before_it_is_decoded() -> None:
    limits = ImageLimits(memory=DecodingMemory(10_000_000))
    with pytest.raises(InvalidImageError, match="takes about 23 MB of memory") as raised:
        decode(saved("RGBA", "PNG"), limits)
    assert raised.value.code == "too_many_pixels"


def test_a_decoded_image_counts_until_it_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding_memory, "WAIT_SECONDS", 0.01)
    data = saved("L", "PNG")
    limits = ImageLimits(memory=DecodingMemory(9 * SIDE_PX**2 + 3 * SIDE_PX**2 - 1))
    kept = [decode(data, limits)]
    with pytest.raises(DecodingMemoryError):
        decode(data, limits)
    part = kept.pop()[:1]
    assert np.all(part == 0)
    with pytest.raises(DecodingMemoryError):
        decode(data, limits)
    del part
    assert decode(data, limits).shape == (SIDE_PX, SIDE_PX, 3)


def test_threads_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reservations of all threads together never exceed the limit."""
    memory = DecodingMemory(10)
    lock = threading.Lock()
    sums = [0]

    def work(size: int) -> None:
        for _ in range(200):
            with memory.reserved(size):
                with lock:
                    sums.append(sums[-1] + size)
                with lock:
                    sums.append(sums[-1] - size)

    threads = [threading.Thread(target=work, args=(size,)) for size in (1, 4, 6, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(sums) <= 10
    assert sums[-1] == 0
    with memory.reserved(10):
        pass
