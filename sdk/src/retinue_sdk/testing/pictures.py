"""Image files for checks: drawn, unusual and broken ones."""

from functools import cache, lru_cache
from io import BytesIO

from PIL import ExifTags, ImageDraw
from PIL import Image as Pillow

from retinue_sdk.decode import decode
from retinue_sdk.limits import ImageLimits

_FROM_UPRIGHT = {
    1: None,
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_90,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_270,
}
"""How a camera stores an upright picture, by EXIF orientation (EXIF 2.32, 4.6.4: the inverse of the
viewer's transformation).
"""


@cache
def photographs() -> tuple[bytes, ...]:
    """Return three PNG pictures of different content and size: coloured shapes on a gradient."""
    return (
        _drawn((320, 240), (40, 60, 120, 150), (250, 240, 220)),
        _drawn((240, 320), (140, 30, 210, 110), (255, 230, 120)),
        _drawn((400, 200), (250, 90, 330, 160), (230, 250, 255)),
    )


def png(picture: Pillow.Image, **how: object) -> bytes:
    """Return an image as a PNG file."""
    return _saved(picture, "PNG", **how)


def plain(size: tuple[int, int] = (160, 120)) -> bytes:
    """Return a PNG picture of one shade of grey."""
    return png(Pillow.new("RGB", size, (128, 128, 128)))


@lru_cache(4)
def oriented(photograph: bytes) -> dict[int, bytes]:
    """Return one picture as eight cameras would store it losslessly, by EXIF orientation."""
    upright = _opened(photograph)
    files = {}
    for orientation, method in _FROM_UPRIGHT.items():
        exif = Pillow.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        stored = upright if method is None else upright.transpose(method)
        files[orientation] = png(stored, exif=exif)
    return files


@lru_cache(4)
def odd(photograph: bytes) -> dict[str, bytes]:
    """Return a picture in forms that are rarer than RGB, by name. All of them can be decoded."""
    picture = _opened(photograph)
    grey = picture.convert("L")
    transparent = picture.copy()
    transparent.putalpha(grey)
    deep = Pillow.frombytes("I;16", grey.size, b"".join(bytes([v, v]) for v in grey.tobytes()))
    return {
        "greyscale.jpg": _saved(grey, "JPEG"),
        "cmyk.jpg": _saved(picture.convert("CMYK"), "JPEG"),
        "progressive.jpg": _saved(picture, "JPEG", progressive=True),
        "16-bit.png": png(deep),
        "palette.png": png(picture.quantize(16)),
        "black-and-white.png": png(picture.convert("1")),
        "alpha.png": png(transparent),
        "grey-alpha.png": png(transparent.convert("LA")),
    }


@cache
def sizes() -> dict[str, bytes]:
    """Return pictures of extreme sizes by name: one pixel, a line, a speck, twelve megapixels."""
    grey = (90, 120, 150)
    return {
        f"{width}x{height}.png": png(Pillow.new("RGB", (width, height), grey))
        for width, height in ((1, 1), (1, 300), (300, 1), (7, 5), (4_000, 3_000))
    }


@lru_cache(4)
def corrupt(photograph: bytes) -> dict[str, bytes]:
    """Return files that no decoder can read, by name."""
    picture = _opened(photograph)
    whole_jpeg, whole_png = _saved(picture, "JPEG"), png(picture)
    return {
        "empty.jpg": b"",
        "words.jpg": b"this is no image",
        "page.png": b"<!doctype html><title>404 Not Found</title>",
        "truncated.jpg": whole_jpeg[: whole_jpeg.index(b"\xff\xda") + 30],  # pixels begin here
        "truncated.png": whole_png[: whole_png.index(b"IDAT") + 20],
        "header.png": whole_png[:33],
    }


def _drawn(
    size: tuple[int, int], disc: tuple[int, int, int, int], colour: tuple[int, int, int]
) -> bytes:
    red = Pillow.linear_gradient("L").resize(size).point(lambda level: level // 3)
    blue = red.transpose(Pillow.Transpose.FLIP_TOP_BOTTOM)
    picture = Pillow.merge("RGB", (red, Pillow.new("L", size, 40), blue))
    draw = ImageDraw.Draw(picture)
    draw.ellipse(disc, fill=colour)
    draw.rectangle((size[0] - 60, size[1] - 40, size[0] - 20, size[1] - 25), fill=(20, 90, 60))
    return png(picture)


def _opened(photograph: bytes) -> Pillow.Image:
    return Pillow.fromarray(decode(photograph, ImageLimits()))


def _saved(picture: Pillow.Image, kind: str, **how: object) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **how)
    return file.getvalue()
