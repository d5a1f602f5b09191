"""Video files in many containers, and MP4 files as nobody should write them."""

import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from io import BytesIO

import av
import numpy as np

from fakes.videos import UNTURNED, encoded


@cache
def video(
    *,
    container: str = "mp4",
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    frames: int = 25,
    rate: int = 25,
    pix_fmt: str = "yuv420p",
    pixel: tuple[int, int] = (1, 1),
    times_ms: Sequence[int] | None = None,
    matrix: Sequence[int] = UNTURNED,
    flags: str = "",
) -> bytes:
    """Return a grey video.

    Args:
        container: FFmpeg's name of the format.
        codec: FFmpeg's name of the encoder.
        size: Width and height of the frames.
        frames: Number of frames.
        rate: Frames a second.
        pix_fmt: FFmpeg's name of the pixel format.
        pixel: Width and height of a pixel.
        times_ms: Each frame's time; by default without gaps.
        matrix: The display matrix.
        flags: Of the muxer, such as ``frag_keyframe``.
    """
    grey = np.full((size[1], size[0], 3), 128, np.uint8)
    return encoded(
        [grey] * (frames if times_ms is None else len(times_ms)),
        times_ms=times_ms,
        rate=rate,
        codec=codec,
        pix_fmt=pix_fmt,
        container=container,
        matrix=matrix,
        aspect=Fraction(*pixel),
        options={"x265-params": "log-level=none"} if codec == "libx265" else {"g": "12"},
        muxing={"movflags": flags} if flags else {},
    )


@cache
def silence() -> bytes:
    """Return an MP4 file with sound alone."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.float32), "fltp", "mono")
        frame.rate = 44_100
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def box(kind: bytes, *content: bytes, size: int | None = None) -> bytes:
    """Return a box of an MP4 file, perhaps with a wrong size."""
    inside = b"".join(content)
    return struct.pack(">I4s", 8 + len(inside) if size is None else size, kind) + inside


def with_before(data: bytes, added: Mapping[bytes, bytes]) -> bytes:
    """Return an MP4 file with something before its top-level boxes, by their kind.

    Offsets of samples become wrong, so only its header can be read.
    """
    parts, at = [], 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        parts += [added.get(kind, b""), data[at : at + size]]
        at += size
    return b"".join(parts)


def moved(data: bytes, gap: Mapping[bytes, int]) -> bytes:
    """Return an MP4 file with free space before top-level boxes, by their kind."""
    return with_before(data, {kind: box(b"free", bytes(size)) for kind, size in gap.items()})
