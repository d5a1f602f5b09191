"""The processes that decode files from outside: ``python -m retinue_console.pictures.child FD``.

The process itself decodes nothing. It imports all that is needed, and forks a process that decodes
for each descriptor that it gets: they share its memory. They hold no credentials, can't write
files, and end when the console does.
"""

import gc
import io
import json
import math
import os
import resource
import signal
import socket
import sys
from multiprocessing.connection import Connection
from typing import Any

from PIL import Image
from retinue_sdk import ImageLimits, InvalidImageError
from retinue_sdk.decode import decode_smaller, measure, shrink_of

from retinue_console.memory import return_large_blocks

MAX_MEMORY_BYTES = 3 * 2**30
"""Maximum address space. The largest image that is decoded has 256 MiB of pixels, and some decoders
hold it four times."""

MAX_VIDEO_BYTES = 2**28
"""How much of a video is read for one frame."""

_BLOCK_BYTES = 2**20
"""How much of a video is read at a time."""

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
        longest_px: Maximum width and height. Smaller pictures are not enlarged.
        most_bytes: Maximum size of the WebP; lower qualities are tried until it fits.
        part: Left, top, right and bottom of the part, as ratios; ``None`` for all.

    Raises:
        InvalidImageError: It can't be decoded, or is too large.
    """
    share = 1.0 if part is None else max(min(part[2] - part[0], part[3] - part[1]), 0.01)
    size_px = measure(data, limits)
    scale = min(1.0, longest_px / share / max(size_px))
    width, height = (math.ceil(side * scale) for side in size_px)
    shrink = shrink_of(size_px, (width, height))
    picture = decode_smaller(data, limits, shrink=shrink)
    if part is not None:
        picture = picture.crop(_pixels(part, picture.size))
    return _webp(picture, longest_px, most_bytes)


def encode_still(
    file: "VideoParts",
    at_ms: int,
    limits: ImageLimits,
    *,
    longest_px: int,
    most_bytes: int | None,
) -> bytes:
    """Decode the frame of a video at a time and write it as WebP.

    Args:
        file: The video.
        at_ms: The time, in milliseconds.
        limits: Maximum number of pixels of a frame.
        longest_px: Maximum width and height.
        most_bytes: Maximum size of the WebP.

    Raises:
        ImportError: PyAV isn't installed.
        InvalidImageError: It can't be decoded, or a frame is too large.
    """
    from retinue_workers.settings.video import VideoSampling
    from retinue_workers.video.decoder import VideoFile

    buffered = io.BufferedReader(file, _BLOCK_BYTES)
    video = VideoFile(buffered, VideoSampling(max_side_px=longest_px), limits)
    return _webp(Image.fromarray(video.still(at_ms)), longest_px, most_bytes)


def _webp(picture: Image.Image, longest_px: int, most_bytes: int | None) -> bytes:
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


class VideoParts(io.RawIOBase):
    """A video in the console's hands, read part by part.

    Args:
        connection: The connection to the console.
        size: The video's size in bytes.
    """

    def __init__(self, connection: Connection, size: int) -> None:
        self._connection = connection
        self._size = size
        self._offset = 0
        self._left = MAX_VIDEO_BYTES

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that the position can be changed."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Change the position."""
        self._offset = offset + (0, self._offset, self._size)[whence]
        return self._offset

    def tell(self) -> int:
        """Return the position."""
        return self._offset

    def readinto(self, buffer: Any) -> int:
        """Ask the console for the next part.

        Raises:
            InvalidImageError: Too much of the video was read.
        """
        size = min(len(buffer), self._size - self._offset)
        if size <= 0:
            return 0
        if size > self._left:
            raise InvalidImageError(f"a picture takes more than {MAX_VIDEO_BYTES:,} bytes of it")
        asked = {"offset": self._offset, "size": size}
        self._connection.send_bytes(json.dumps(asked).encode())
        data = self._connection.recv_bytes()[:size]
        buffer[: len(data)] = data
        self._offset += len(data)
        self._left -= size
        return len(data)


def main() -> None:
    """Fork a process for each descriptor, and end those that are named, until the parent ends."""
    limit_resources()
    return_large_blocks()
    Image.init()  # loads all formats
    gc.collect()
    gc.freeze()  # else collections in the children write to the memory that they share
    with socket.socket(fileno=int(sys.argv[1])) as control:
        while True:
            message, descriptors, _, _ = socket.recv_fds(control, 32, 1)
            if not message:
                return
            if not descriptors:
                process_id = int(message)
                os.kill(process_id, signal.SIGKILL)
                os.waitpid(process_id, 0)
            elif not (process_id := os.fork()):
                try:
                    control.close()
                    _serve(Connection(descriptors[0]))
                finally:
                    os._exit(0)
            else:
                os.close(descriptors[0])
            control.sendall(str(process_id).encode())


def _serve(connection: Connection) -> None:
    """Answer requests until the parent closes the connection."""
    while True:
        try:
            request = json.loads(connection.recv_bytes())
            answer, picture = _answer(request, connection)
            connection.send_bytes(json.dumps(answer).encode())
            connection.send_bytes(picture)
        except (EOFError, OSError):
            return


def _answer(request: dict[str, Any], connection: Connection) -> tuple[dict[str, Any], bytes]:
    """Return the answer to a request, and the picture."""
    size = {"longest_px": request["longest_px"], "most_bytes": request["most_bytes"]}
    try:
        if "video_bytes" in request:
            file = VideoParts(connection, request["video_bytes"])
            limits = ImageLimits(max_px=request["max_px"])
            return {}, encode_still(file, request["at_ms"], limits, **size)
        data = connection.recv_bytes()
        limits = ImageLimits(max(len(data), 1), request["max_px"])
        return {}, encode(data, limits, part=request["part"], **size)
    except ImportError:
        return {"no_decoder": True}, b""
    except InvalidImageError as error:
        return {"problem": str(error)}, b""
    except MemoryError:
        return {"problem": "decoding the image takes too much memory"}, b""


if __name__ == "__main__":
    main()
