"""Files that are no images, not quite, or too much of it: through the real worker, by design."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from fakes.rig import Rig
from PIL import Image as PillowImage
from PIL import ImageDraw
from unit.sdk.pictures import HEIC


def saved(image: PillowImage.Image, file_format: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def photo(mode: str = "RGB", size: tuple[int, int] = (32, 24)) -> PillowImage.Image:
    image = PillowImage.effect_mandelbrot(size, (-2, -1, 1, 1), 50).convert("RGB")
    ImageDraw.Draw(image).rectangle((2, 2, 9, 9), fill="red")
    return image.convert(mode)


def sixteen_bit() -> bytes:
    levels = np.full((24, 32), 0x8000, dtype=np.uint16)
    return saved(PillowImage.fromarray(levels), "PNG")


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that says it is so large, and is 70 bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1_000))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


def animated_gif() -> bytes:
    frames = [PillowImage.new("RGB", (32, 24), colour) for colour in ("red", "lime", "blue")]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)


def rotated() -> bytes:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    return saved(photo(), "JPEG", exif=exif)


def flipped(data: bytes, where: float = 0.5) -> bytes:
    """Return the file with 200 bytes in the middle replaced."""
    middle = int(len(data) * where)
    return data[:middle] + b"\x5a" * 200 + data[middle + 200 :]


JPEG = saved(photo(size=(256, 192)), "JPEG")
PNG = saved(photo(size=(256, 192)), "PNG")
TIFF = saved(photo(size=(256, 192)), "TIFF", compression="tiff_lzw")
AVIF = saved(photo(size=(256, 192)), "AVIF")

FAILING: dict[str, tuple[bytes, str]] = {
    "empty.jpg": (b"", "empty_file"),
    "one-byte.jpg": (b"\xff", "unsupported_format"),
    "text.jpg": (b"this is no image\n" * 10, "unsupported_format"),
    "html.png": (b"<!doctype html><title>404</title>", "unsupported_format"),
    "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported_format"),
    "vector.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "unsupported_format"),
    "document.pdf": (b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n", "unsupported_format"),
    "truncated.jpg": (JPEG[: len(JPEG) // 2], "corrupt_image"),
    "truncated.png": (PNG[: len(PNG) // 2], "corrupt_image"),
    "header-only.jpg": (JPEG[:20], "corrupt_image"),
    "truncated.tiff": (TIFF[:-1_000], "corrupt_image"),
    "truncated.avif": (AVIF[:-20], "corrupt_image"),
    "truncated.heic": (HEIC[:-20], "corrupt_image"),
    "video.heic": (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "unsupported_format"),
    "corrupt.png": (flipped(PNG), "corrupt_image"),
    "bomb.png": (png_header(20_000, 20_000), "too_many_pixels"),
    "larger-bomb.png": (png_header(2**31 - 1, 2**31 - 1), "too_many_pixels"),
    "lying.png": (png_header(4_000, 4_000), "corrupt_image"),
    "nothing.png": (png_header(0, 0), "unsupported_format"),
    "large.bin": (b"\0" * 400_001, "too_many_bytes"),
}

TRUNCATED = {"without-end.jpg": JPEG[:-2], "most.jpg": JPEG[:-500], "most.png": PNG[:-500]}

SUCCEEDING: dict[str, tuple[bytes, str]] = {
    **{key: (data, "256x192") for key, data in TRUNCATED.items()},
    "plain.jpg": (JPEG, "256x192"),
    "one-pixel.png": (saved(PillowImage.new("RGB", (1, 1), "red"), "PNG"), "1x1"),
    "really-a-png.jpg": (PNG, "256x192"),
    "no-extension": (JPEG, "256x192"),
    "cmyk.jpg": (saved(photo("CMYK"), "JPEG"), "32x24"),
    "grey.jpg": (saved(photo("L"), "JPEG"), "32x24"),
    "palette.png": (saved(photo("P"), "PNG"), "32x24"),
    "black-and-white.tiff": (saved(photo("1"), "TIFF"), "32x24"),
    "transparent.png": (saved(PillowImage.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG"), "8x8"),
    "16-bit.png": (sixteen_bit(), "32x24"),
    "animated.gif": (animated_gif(), "32x24"),
    "photo.webp": (saved(photo(), "WEBP"), "32x24"),
    "photo.avif": (saved(photo(), "AVIF"), "32x24"),
    "photo.heic": (HEIC, "128x96"),
    "photo.bmp": (saved(photo(), "BMP"), "32x24"),
    "on-its-side.jpg": (rotated(), "24x32"),
    "thin.png": (saved(PillowImage.new("RGB", (10_000, 1)), "PNG"), "10000x1"),
}


@pytest.mark.parametrize("batch", [1, 4])
def test_each_ends_as_it_should_and_the_worker_goes_on(
    rig: Rig, logged: list[dict[str, Any]], batch: int
) -> None:
    files = {**FAILING, **SUCCEEDING}
    # Mixed, so that good and bad ones share batches.
    for key in sorted(files, key=lambda key: zlib.crc32(key.encode())):
        rig.upload(key, files[key][0])
    detectors: dict[str, dict[str, Any]] = {
        "pixels": {"max_batch_size": batch},
        "bytes": {},
        "echo": {},
    }
    with rig.running(detectors, max_image_bytes=400_000):
        rig.wait_until_empty()
        rig.upload("afterwards.jpg", JPEG)
        rig.wait_until_empty()

    failed = {key: code for key, name, _, code in rig.runs() if name == "pixels" and code}
    assert failed == {key: code for key, (_, code) in FAILING.items()}
    sizes = {
        row["key"]: row["label"]
        for row in rig.rows(
            "SELECT key, label FROM detections JOIN images USING (image_id) JOIN runs "
            "USING (run_id) WHERE detector = 'pixels'"
        )
    }
    expected = {key: size for key, (_, size) in SUCCEEDING.items()}
    assert sizes == {**expected, "afterwards.jpg": "256x192"}

    # Failed is not empty, and a picture that cannot be decoded still has bytes.
    assert rig.outcomes("echo") == ["succeeded"] * (len(files) + 1)
    unread = ["empty_file", "too_many_bytes"]
    assert rig.outcomes("bytes") == sorted(unread + ["succeeded"] * (len(files) - 1))

    # The image itself is to blame: not retryable, with words for people, and said in the log.
    rows = rig.rows("SELECT retryable, error_message FROM runs WHERE outcome = 'failed'")
    assert all(not row["retryable"] and len(row["error_message"]) > 10 for row in rows)
    said = {e["uri"] for e in logged if e["event"] == "run_recorded" and e["outcome"] == "failed"}
    assert said == {f"s3://photos/{key}" for key in FAILING}
    told = {(e["run_id"], e["image_id"]) for e in logged if e["event"] == "run_recorded"}
    runs = rig.rows("SELECT run_id, image_id FROM runs WHERE outcome <> 'skipped'")
    assert told == {(row["run_id"], str(row["image_id"])) for row in runs}
    assert not [entry for entry in logged if entry["log_level"] == "error"]
    measured = rig.rows("SELECT key, width_px, height_px FROM images WHERE width_px IS NOT NULL")
    assert {row["key"]: f"{row['width_px']}x{row['height_px']}" for row in measured} == sizes
    marked = rig.rows("SELECT key FROM latest_runs WHERE truncated AND detector = 'pixels'")
    assert {row["key"] for row in marked} == set(TRUNCATED)
    assert rig.queue.dead_letters() == []


def test_colours_survive(rig: Rig) -> None:
    red = PillowImage.new("RGB", (16, 16), (200, 30, 30))
    rig.upload("red.png", saved(red, "PNG"))
    rig.upload("cmyk.tiff", saved(red.convert("CMYK"), "TIFF"))
    rig.upload("first-frame.gif", animated_gif())
    rig.upload("half.png", sixteen_bit())
    clear = PillowImage.new("RGBA", (16, 16), (0, 0, 0, 0))
    rig.upload("clear.png", saved(clear, "PNG"))
    rig.work_off({"pixels": {}})
    colours = {
        row["key"]: row["colour"]
        for row in rig.rows(
            "SELECT key, attributes->'colour' AS colour "
            "FROM detections JOIN images USING (image_id)"
        )
    }
    assert colours["red.png"] == [200, 30, 30]
    assert colours["cmyk.tiff"] == pytest.approx([200, 30, 30], abs=3)
    assert colours["first-frame.gif"] == [255, 0, 0]
    assert colours["half.png"] == [128, 128, 128]
    assert colours["clear.png"] == [255, 255, 255]


def test_an_image_without_an_announced_size_is_bounded_all_the_same(rig: Rig) -> None:
    from fakes.events import BUCKET, created

    etag = rig.s3.put_object(Bucket=BUCKET, Key="a.bin", Body=b"\0" * 5_000)["ETag"].strip('"')
    rig.queue.send(created("a.bin", etag=etag, size=None))
    rig.work_off({"bytes": {}}, max_image_bytes=4_999)
    assert rig.outcomes("bytes") == ["too_many_bytes"]


def test_an_image_that_is_too_large_is_not_even_asked_for(rig: Rig) -> None:
    rig.upload("a.bin", b"\0" * 5_000)
    rig.work_off({"bytes": {}}, max_image_bytes=4_999)
    assert rig.s3.gets == []
    assert rig.outcomes("bytes") == ["too_many_bytes"]
