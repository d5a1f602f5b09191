"""Decode the frames of a video with PyAV. Runs in the decoder's process."""

import errno
import os
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

import av
import av.error
import numpy as np
from av.stream import Discard, Disposition
from av.video.frame import PictureType
from av.video.frame import VideoFrame as DecodedFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream
from retinue_sdk import ImageLimits, InvalidImageError
from retinue_sdk.cores import usable_cores

from retinue_workers.intake.video_container import (
    HEAD_BYTES,
    REMEDY,
    announced_bytes,
    container_of,
    demuxer_of,
)
from retinue_workers.settings.video import VideoSampling
from retinue_workers.video.cuts import Cuts
from retinue_workers.video.frame import VideoFrame
from retinue_workers.video.sampler import Sampler

if TYPE_CHECKING:
    from av.container import InputContainer
    from retinue_sdk import Pixels

MAX_DURATION_MS = 24 * 3_600_000
"""Maximum duration of a video in milliseconds."""

MAX_STREAMS = 100
"""Maximum number of streams (pictures, sound, subtitles) of a file."""

MAX_THREADS = 4
"""Maximum number of threads per video. Each keeps frames in memory."""

MAX_STRETCH = 8
"""Maximum ratio of a pixel's sides. Above it, the ratio is a mistake, and pixels are square."""

MISSING_MS = 2_000
"""By how much earlier than announced the pictures may end before the video counts as truncated.
Some containers announce the duration of the sound.
"""

MAX_GAP_SECONDS = 10
"""By how much the clock of an MPEG file may jump. FFmpeg's programs have the same limits."""

MAX_STEP_BACK_SECONDS = 0.1
"""By how much the clock of an MPEG file may go back, which several encoders do."""

MAX_STILL_FRAMES = 1_500
"""How many frames are decoded from a key frame on, to find one for a still."""

MAX_SCANNED_BYTES = 2**26
"""Size up to which an MPEG file is read from its start for a still. Its parts may have clocks of
their own, which a seek confuses.
"""

MAX_REORDERED = 16
"""By how many frames the orders of decoding and display may differ, as in H.264."""

_STEPS_BACK_SECONDS = (0, 1, 5, 20, MAX_DURATION_MS // 1_000)
"""How far to seek back from a frame for its key frame. MPEG has no index of key frames."""

MAX_TIMES = 10_000_000
"""Maximum number of frames whose times are read: a day with 115 a second."""

READ_BYTES = 2**18
"""How many bytes are read at a time."""

_APPENDABLE = frozenset({"mpeg", "mpegts"})
"""Containers whose files can be appended to each other. Each part has a clock of its own."""

_HD_HEIGHT_PX = 720
"""Height from which colours are of BT.709 by default."""

_STILL = Disposition.attached_pic | Disposition.timed_thumbnails
"""Streams that are pictures of a cover or of chapters."""

_UNKNOWN_COLORSPACE = 2
"""FFmpeg's AVCOL_SPC_UNSPECIFIED."""

_VP8_SHOWN = 0x10
"""The bit of a VP8 frame's first byte that says that the frame is displayed."""

# Only errors of decoding are explained to people; FFmpeg's own messages would be in the log.
av.logging.set_level(None)


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """Facts about a video, in the terms of ``retinue_sdk.Video``."""

    duration_ms: int | None
    frame_rate: float | None
    codec: str
    container: str
    width_px: int
    height_px: int
    rotation_degrees: int


@dataclass(frozen=True, slots=True)
class Orientation:
    """The way to turn a decoded frame for display: exchange the axes, then mirror.

    Attributes:
        swaps: Whether rows become columns.
        mirrors_x: Whether to exchange left and right afterwards.
        mirrors_y: Whether to exchange top and bottom afterwards.
    """

    swaps: bool = False
    mirrors_x: bool = False
    mirrors_y: bool = False

    @classmethod
    def of(cls, frame: DecodedFrame) -> "Orientation":
        """Return the orientation from a frame's display matrix, to the nearest quarter turn."""
        side_data: Any = frame.side_data.get("DISPLAYMATRIX")
        if side_data is None:
            return cls()
        # x' = a x + c y and y' = b x + d y, with y downwards, in 16.16 fixed point.
        a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(side_data), "<i4", 5))
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(swaps=True, mirrors_x=c < 0, mirrors_y=b < 0)
        return cls(mirrors_x=a < 0, mirrors_y=d < 0)

    @property
    def degrees(self) -> int:
        """Return the clockwise rotation, without mirroring."""
        if self.swaps:
            return 90 if self.mirrors_x else 270
        return 180 if self.mirrors_y else 0

    def apply(self, pixels: "Pixels") -> "Pixels":
        """Return the pixels as displayed."""
        if self.swaps:
            pixels = pixels.transpose(1, 0, 2)
        if self.mirrors_x:
            pixels = pixels[:, ::-1]
        if self.mirrors_y:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels)


class FixedFile:
    """A file of which only the bytes count that it has when it is opened, even if it grows.

    Args:
        file: A seekable file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)

    def read(self, size: int) -> bytes:
        """Read up to ``size`` bytes."""
        return self._file.read(max(0, min(size, self.size_bytes - self._file.tell())))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Change the position."""
        if whence == os.SEEK_END:
            offset, whence = offset + self.size_bytes, os.SEEK_SET
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()


class VideoFile:
    """A video that is open for decoding.

    Args:
        file: The file.
        sampling: Frames to return.
        limits: The limit on the pixels of a frame.
        duration_ms: Its duration in milliseconds, if the file doesn't have it.

    Attributes:
        facts: Its facts.
        is_truncated: Whether it ended early or parts of it are damaged; complete after ``frames``.

    Raises:
        InvalidImageError: It can't be decoded.
    """

    def __init__(
        self,
        file: BinaryIO,
        sampling: VideoSampling,
        limits: ImageLimits,
        duration_ms: int | None = None,
    ) -> None:
        fixed, head = _fixed(file)
        self._keyframes = sampling.sample == "keyframes"
        self._max_side_px = sampling.max_side_px
        self._limits = limits
        self._container = _open(fixed, demuxer_of(head))
        self._stream = _pictures(self._container, limits)
        self._is_avi = self._container.format.name == "avi"
        if self._keyframes:
            # Not Discard.nonkey, with which FFmpeg gives frames of MP4 files wrong times.
            self._stream.codec_context.skip_frame = "NONKEY"
        size_bytes = announced_bytes(head)
        self._size_bytes = fixed.size_bytes
        self._is_damaged = fixed.size_bytes < size_bytes
        self._has_known_size = size_bytes > 0
        self._end_ms = 0
        self._last_pts: int | None = None
        decoded = self._decoded(_packets(self._container, self._stream))
        try:
            self._first = next(decoded, None)
        except MemoryError:
            raise
        except av.error.FFmpegError as error:
            raise _corrupt(_reason(error)) from error
        if self._first is None:
            raise _corrupt("none of its pictures can be decoded")
        self._rest = decoded
        self._start = self._first.pts if self._is_avi else self._stream.start_time
        first, orientation = self._first, Orientation.of(self._first)
        width_px, height_px = self._displayed_size(first)
        if orientation.swaps:
            width_px, height_px = height_px, width_px
        duration_ms = duration_ms or self._duration_ms()
        if duration_ms is not None and duration_ms > MAX_DURATION_MS:
            raise _too_long(duration_ms)
        rate = self._stream.average_rate
        self._sampler = Sampler.of(sampling, duration_ms)
        self.facts = VideoFacts(
            duration_ms,
            float(rate) if rate else None,
            self._stream.codec_context.codec.canonical_name,  # not the decoder's, such as libdav1d
            container_of(head),
            width_px,
            height_px,
            orientation.degrees,
        )

    @property
    def is_truncated(self) -> bool:
        """Return whether pictures were missing in the decoded part."""
        duration_ms = self.facts.duration_ms
        # Matroska has a size, and only one duration, which may be that of the sound.
        if self._is_damaged or self._has_known_size:
            return self._is_damaged
        if duration_ms is None or self._last_pts is None:
            return False
        return self._after_start_ms(self._last_pts) + MISSING_MS < duration_ms

    def close(self) -> None:
        """Release the decoder's memory."""
        self._container.close()

    def frames(self) -> Iterator[VideoFrame]:
        """Yield each frame to look at. Call it once.

        Raises:
            InvalidImageError: The rest can't be decoded.
        """
        cuts = None if self._keyframes else Cuts()  # key frames are too far apart
        is_after_cut = False
        frame, self._first = self._first, None
        while frame is not None:
            time_ms = self._time_ms(frame)
            if time_ms > MAX_DURATION_MS:
                raise _too_long(time_ms)
            self._end_ms = max(self._end_ms, time_ms)
            if cuts is not None and cuts.is_cut(frame):
                is_after_cut = True
            if self._sampler.takes(time_ms):
                yield VideoFrame(time_ms, self._pixels(frame), is_after_cut)
                is_after_cut = False
            frame = next(self._rest, None)

    def still(self, at_ms: int) -> "Pixels":
        """Return the pixels of the frame at a time, or of the next one.

        Call either this or ``frames``.

        Args:
            at_ms: The time in milliseconds. After the end, the last frame is returned.

        Raises:
            InvalidImageError: The video can't be decoded, or no key frame is near.
        """
        frame = self._first
        if frame is None:
            raise RuntimeError("the frames were read already")
        if at_ms > self._time_ms(frame):
            try:
                frames = self._decoded(self._packets_before(at_ms))
            except av.error.FFmpegError:  # it has no index
                frames = self._rest
            for number, frame in enumerate(frames):
                if self._time_ms(frame) >= at_ms:
                    break
                if number == MAX_STILL_FRAMES:
                    raise _corrupt(f"it has no key frame in {MAX_STILL_FRAMES:,} frames")
        return self._pixels(frame)

    def _packets_before(self, at_ms: int) -> Iterator["av.Packet[VideoStream]"]:
        """Return the packets from the last key frame on that is displayed before a time.

        Raises:
            FFmpegError: The file can't be read from there on.
        """
        stream, base = self._stream, self._stream.time_base or Fraction(1, 1_000)
        start = self._start or 0
        at = start + round(at_ms / 1_000 / base)
        latest = at - MAX_REORDERED if self._is_avi else at
        is_mpeg = self._container.format.name in _APPENDABLE
        # They seek by times of decoding, and the first one is earlier.
        if is_mpeg:
            start -= round(MAX_GAP_SECONDS / base)
        elif self._is_avi:
            start = 0
        is_scanned = is_mpeg and self._size_bytes <= MAX_SCANNED_BYTES
        for seconds in _STEPS_BACK_SECONDS[-1 if is_scanned else 0 :]:
            self._container.seek(max(start, latest - round(seconds / base)), stream=stream)
            packets = _packets(self._container, stream)
            found: list[av.Packet[VideoStream]] = []
            is_found = False
            with suppress(av.error.FFmpegError):
                for packet in packets:
                    shown = packet.dts if self._is_avi else packet.pts
                    if packet.is_keyframe and shown is not None and shown <= latest:
                        is_found = True
                        found.clear()
                    found.append(packet)
                    if packet.dts is not None and packet.dts > at:
                        break
            if is_found:
                break
        return chain(found, packets)

    def _decoded(self, packets: Iterator["av.Packet[VideoStream]"]) -> Iterator[DecodedFrame]:
        """Yield decoded frames. Skip damaged parts, and end where the file can't be followed."""
        context = self._stream.codec_context
        is_first, is_cut_start = True, False
        before: int | None = None
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                if isinstance(error, MemoryError):
                    raise
                self._is_damaged = True
                return
            if packet is None:
                return
            self._is_damaged |= packet.is_corrupt
            if packet.pts is not None:
                self._last_pts = max(packet.pts, self._last_pts or 0)
            if self._keyframes and is_first and packet.is_discard:
                # Cut without encoding: the first displayed frame depends on hidden ones.
                is_cut_start, context.skip_frame = True, "DEFAULT"
            is_first = False
            if self._keyframes and packet.size and not (packet.is_keyframe or is_cut_start):
                continue
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                if isinstance(error, MemoryError):
                    raise
                self._is_damaged = True
                continue
            for frame in frames:
                self._is_damaged |= frame.is_corrupt
                if self._is_avi and not self._keyframes:
                    before = frame.pts = _avi_time(frame, before)
                if is_cut_start or not self._keyframes or _is_key(frame):
                    yield frame
                if is_cut_start:
                    is_cut_start, context.skip_frame = False, "NONKEY"

    def _time_ms(self, frame: DecodedFrame) -> int:
        """Return a frame's time after the first frame, in milliseconds."""
        pts = frame.pts if frame.pts is not None else frame.dts
        return self._end_ms if pts is None else self._after_start_ms(pts)

    def _after_start_ms(self, pts: int) -> int:
        return _milliseconds(self._stream, pts - (self._start or 0))

    def _duration_ms(self) -> int | None:
        stream = self._stream
        if stream.duration and stream.time_base:
            return max(0, round(stream.duration * stream.time_base * 1_000))
        duration = self._container.duration
        return None if duration is None or duration < 0 else round(duration / 1_000)

    def _displayed_size(self, frame: DecodedFrame) -> tuple[int, int]:
        """Return width and height with square pixels, before rotation. The height is kept."""
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        if not Fraction(1, MAX_STRETCH) <= aspect <= MAX_STRETCH:
            aspect = Fraction(1)
        width, height = max(1, round(frame.width * aspect)), frame.height
        self._limits.check_pixels(width, height)
        return width, height

    def _pixels(self, frame: DecodedFrame) -> "Pixels":
        """Return a frame as displayed, scaled down to the maximum size."""
        width, height = self._displayed_size(frame)
        scale = min(1.0, self._max_side_px / max(width, height))
        is_unknown = frame.colorspace == _UNKNOWN_COLORSPACE
        is_hd = frame.height >= _HD_HEIGHT_PX
        rgb = frame.reformat(
            max(1, round(width * scale)),
            max(1, round(height * scale)),
            "rgb24",
            src_colorspace=Colorspace.ITU709 if is_unknown and is_hd else None,
            threads=1,
        )
        pixels: Any = rgb.to_ndarray()
        return Orientation.of(frame).apply(pixels)


def frame_times_ms(file: BinaryIO, limits: ImageLimits) -> "array[int]":
    """Return the time of each frame in milliseconds after the first, in the order of display.

    Reads the whole file, but decodes nothing. Parts that can't be read have no frames.

    Args:
        file: The file.
        limits: The limit on the pixels of a frame.

    Raises:
        InvalidImageError: It isn't a video, its frames have no times, or it is too long.
    """
    fixed, head = _fixed(file)
    times_ms = array("I")
    with _open(fixed, demuxer_of(head)) as container:
        stream = _pictures(container, limits)
        is_vp8 = stream.codec_context.name == "vp8"
        is_avi = container.format.name == "avi"
        start = None if is_avi else stream.start_time or 0
        try:
            for packet in _packets(container, stream):
                # The last packet is empty. Edit lists discard frames.
                if not packet.size or packet.is_discard:
                    continue
                if is_vp8 and not bytes(packet)[0] & _VP8_SHOWN:
                    continue
                pts = packet.dts if packet.pts is None or is_avi else packet.pts
                if pts is None:
                    raise _corrupt("its frames have no times")
                start = pts if start is None else start
                time_ms = _milliseconds(stream, pts - start)
                if time_ms > MAX_DURATION_MS:
                    raise _too_long(time_ms)
                if len(times_ms) == MAX_TIMES:
                    raise _corrupt(f"it has more than {MAX_TIMES:,} frames")
                times_ms.append(time_ms)
        except av.error.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
    if not times_ms:
        raise _corrupt("it has no frames")
    return array("I", sorted(times_ms))


def _fixed(file: BinaryIO) -> tuple[FixedFile, bytes]:
    """Return a file at its begin, and the bytes of its head."""
    fixed = FixedFile(file)
    if not fixed.size_bytes:
        raise InvalidImageError("the file is empty (0 bytes)", code="empty_file")
    head = fixed.read(HEAD_BYTES)
    fixed.seek(0)
    return fixed, head


def _open(file: FixedFile, container: str) -> "InputContainer":
    try:
        return av.open(
            file,
            "r",
            format=container,
            metadata_errors="replace",
            buffer_size=READ_BYTES,
            container_options={"protocol_whitelist": "none", "max_streams": str(MAX_STREAMS)},
        )
    except MemoryError:
        raise
    except (av.error.FFmpegError, ValueError) as error:
        raise _corrupt(_reason(error)) from error


def _pictures(container: "InputContainer", limits: ImageLimits) -> VideoStream:
    """Return the stream of moving pictures, with its decoder set up. Ignore the others."""
    chosen: VideoStream | None = None
    for stream in container.streams:
        is_still = stream.disposition & _STILL
        if chosen is None and isinstance(stream, VideoStream) and not is_still:
            chosen = stream
        else:
            stream.discard = Discard.all
    if not container.streams:
        raise _corrupt("its header isn't complete")
    if chosen is None:
        raise InvalidImageError(
            "the file has no moving pictures, only sound or other data: upload a video",
            code="no_video_track",
        )
    context = chosen.codec_context
    if context is None:
        raise InvalidImageError(f"its codec isn't supported: {REMEDY}", code="unsupported_codec")
    limits.check_pixels(context.width, context.height)
    context.options = {"max_pixels": str(limits.max_px)}
    context.thread_type = "AUTO"
    context.thread_count = min(usable_cores(), MAX_THREADS)
    return chosen


def _packets(
    container: "InputContainer", stream: VideoStream
) -> Iterator["av.Packet[VideoStream]"]:
    """Yield packets on one clock, also those of files that were appended to each other.

    A jump of the clock counts as the end of the packet before, as in FFmpeg's programs.
    """
    packets = container.demux(stream)
    if container.format.name not in _APPENDABLE or not stream.time_base:
        yield from packets
        return
    least, most = (
        round(seconds / stream.time_base) for seconds in (-MAX_STEP_BACK_SECONDS, MAX_GAP_SECONDS)
    )
    offset, end = 0, None
    for packet in packets:
        if packet.dts is not None:
            if end is not None and not least <= packet.dts + offset - end <= most:
                offset = end - packet.dts
            packet.dts += offset
            end = packet.dts + (packet.duration or 0)
        if packet.pts is not None:
            packet.pts += offset
        yield packet


def _is_key(frame: DecodedFrame) -> bool:
    """Return whether it is a key frame, or its decoder (as QuickTime's RLE) never reports one."""
    return frame.key_frame or frame.pict_type == PictureType.NONE


def _avi_time(frame: DecodedFrame, before: int | None) -> int | None:
    """Return the time of an AVI's frame in its time base, given that of the frame before.

    AVI has no times of display, and FFmpeg's guesses are wrong for H.264 with B-frames. But frames
    leave the decoder in the order of display, one for each packet.
    """
    if frame.dts is not None:
        return frame.dts
    return frame.pts if before is None else before + 1


def _milliseconds(stream: VideoStream, ticks: int) -> int:
    return max(0, round(ticks * (stream.time_base or Fraction(0)) * 1_000))


def _reason(error: Exception) -> str:
    """Return FFmpeg's text without its number."""
    if getattr(error, "errno", None) == errno.EIO:  # so it calls the end of a file
        return "the file ends within its header"
    return getattr(error, "strerror", None) or str(error)


def _corrupt(reason: str) -> InvalidImageError:
    return InvalidImageError(
        f"the video can't be decoded: {reason}. Upload the complete file, or {REMEDY}",
        code="corrupt_video",
    )


def _too_long(duration_ms: int) -> InvalidImageError:
    return InvalidImageError(
        f"the video takes {duration_ms / 3_600_000:,.1f} hours; the limit is "
        f"{MAX_DURATION_MS / 3_600_000:g}: cut it into parts",
        code="video_too_long",
    )
