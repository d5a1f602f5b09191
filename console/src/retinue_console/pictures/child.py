"""The process that decodes files from outside: ``python -m retinue_console.pictures.child FD``.

It holds no credentials, can't write files, and ends when its parent does.
"""

import io
import json
import math
import resource
import sys
from multiprocessing.connection import Connection

from PIL import Image
from retinue_sdk import ImageLimits, InvalidImageError
from retinue_sdk.decode import decode, measure, shrink_of

from retinue_console.memory import return_large_blocks

MAX_MEMORY_BYTES = 3 * 2**30
"""Maximum address space. The largest image that is decoded has 256 MiB of pixels, and some decoders
hold it four times."""

_QUALITIES = (80, 70, 60, 45, 30, 15)
"""Qualities that are tried until a picture is small enough."""


def limit_resources() -> None:
    """Limit memory, and forbid files and core dumps."""
    for what, most in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))


def encode(
    data: bytes,
    limits: ImageLimits,
    *,
    longest_px: int,
    most_bytes: int | None,
    part: tuple[float, float, float, float] | None = None,
) -> bytes:
    """Decode a file and write it, or a part of it, as WebP.

    Args:
        data: The file.
        limits: How large it may be.
        longest_px: Most width and height. Smaller pictures are not enlarged.
        most_bytes: Most bytes of the WebP; lower qualities are tried until it has no more.
        part: Left, top, right and bottom of the part, as ratios; ``None`` for all.

    Raises:
        InvalidImageError: It can't be decoded, or is too large.
    """
    share = 1.0 if part is None else max(min(part[2] - part[0], part[3] - part[1]), 0.01)
    size_px = measure(data, limits)
    scale = min(1.0, longest_px / share / max(size_px))
    width, height = (math.ceil(side * scale) for side in size_px)
    shrink = shrink_of(size_px, (width, height))
    picture = Image.fromarray(decode(data, limits, shrink=shrink))
    if part is not None:
        picture = picture.crop(_pixels(part, picture.size))
    picture.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS, reducing_gap=3.0)
    file = io.BytesIO()
    for quality in _QUALITIES:
        file = io.BytesIO()
        picture.save(file, "WEBP", quality=quality, method=4)
        if most_bytes is None or file.tell() <= most_bytes:
            break
    return file.getvalue()


def _pixels(
    part: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return a part in pixels: inside the picture, and at least one pixel."""
    width, height = size
    left = min(max(round(part[0] * width), 0), width - 1)
    top = min(max(round(part[1] * height), 0), height - 1)
    right = min(max(round(part[2] * width), left + 1), width)
    bottom = min(max(round(part[3] * height), top + 1), height)
    return left, top, right, bottom


def main() -> None:
    """Answer requests until the parent closes the connection."""
    limit_resources()
    return_large_blocks()
    with Connection(int(sys.argv[1])) as connection:
        while True:
            try:
                request = json.loads(connection.recv_bytes())
                data = connection.recv_bytes()
            except EOFError:
                return
            answer, picture = {}, b""
            try:
                picture = encode(
                    data,
                    ImageLimits(max(len(data), 1), request["max_px"]),
                    longest_px=request["longest_px"],
                    most_bytes=request["most_bytes"],
                    part=request["part"],
                )
            except InvalidImageError as error:
                answer = {"problem": str(error)}
            except MemoryError:
                answer = {"problem": "decoding the image takes too much memory"}
            connection.send_bytes(json.dumps(answer).encode())
            connection.send_bytes(picture)


if __name__ == "__main__":
    main()
