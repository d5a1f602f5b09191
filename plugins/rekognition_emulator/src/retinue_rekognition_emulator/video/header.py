"""Read the facts of an MP4 or MOV file from its header."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Read = Callable[[int, int], bytes]
"""Returns bytes of a file: from a position, a number of bytes."""

BLOCK_BYTES = 64 * 2**10
"""Minimum number of bytes per read."""

MAX_BOXES = 1_000
"""Maximum number of boxes that are skipped in search of the header."""

MAX_HEADER_BYTES = 64 * 2**20
"""Size of the largest header. Six hours at 60 frames per second need about 15 MB."""

_TOP_LEVEL = frozenset(
    {b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"sidx"}
    | {b"moof", b"mfra", b"meta", b"udta"}
)
_VIDEO_CODECS = {
    "avc1": "h264",
    "avc3": "h264",
    "hvc1": "hevc",
    "hev1": "hevc",
    "mp4v": "mpeg4",
    "av01": "av1",
    "vp09": "vp9",
}
_AUDIO_CODECS = {"mp4a": "aac", "ac-3": "ac3", "ec-3": "eac3", "opus": "opus"}


@dataclass(frozen=True)
class AudioTrack:
    """An audio track: its codec, duration, sample rate and number of channels."""

    codec: str
    duration_ms: int
    sample_rate: int
    channels: int


@dataclass(frozen=True)
class Header:
    """The facts of a video.

    Attributes:
        codec: The codec of the first video track as FFmpeg names it.
        duration_ms: The duration of this track.
        frames: Its number of frames, 1 or more.
        frame_rate: Its mean number of frames per second.
        width_px: Width of the coded pictures.
        height_px: Their height.
        full_range: Whether luminance uses all values from 0 to 255.
        audio: The audio tracks.
    """

    codec: str
    duration_ms: int
    frames: int
    frame_rate: float
    width_px: int
    height_px: int
    full_range: bool = False
    audio: tuple[AudioTrack, ...] = ()


def read_header(size_bytes: int, read: Read) -> Header | None:
    """Return the facts of a file; ``None`` if it is damaged, has no video, or isn't MP4 or MOV."""
    try:
        return _facts(_movie(size_bytes, read))
    except (ValueError, LookupError, ArithmeticError, struct.error):
        return None


def _movie(size_bytes: int, read: Read) -> bytes:
    """Return the content of the box ``moov``. Its place may be behind gigabytes of frames."""
    block, block_at, at = b"", 0, 0
    for _ in range(MAX_BOXES):
        if not block_at <= at <= block_at + len(block) - 16:
            block, block_at = read(at, BLOCK_BYTES), at
        start = at - block_at
        length, kind = struct.unpack_from(">I4s", block, start)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", block, start + 8)
            head = 16
        elif length == 0:
            length = size_bytes - at
        if kind not in _TOP_LEVEL or length < head:
            raise ValueError(f"no MP4: {kind!r}")
        if kind == b"moov":
            if at + length > size_bytes or length > MAX_HEADER_BYTES:
                raise ValueError("the header is cut off or too large")
            within = block[start + head : start + length]
            return within if len(within) == length - head else read(at + head, length - head)
        at += length
    raise ValueError("no header")


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and content of each box."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        elif length == 0:
            length = len(data) - at
        if length < head or at + length > len(data):
            raise ValueError("a box is longer than its parent")
        yield kind, data[at + head : at + length]
        at += length


def _box(data: bytes, *path: bytes) -> bytes:
    """Return the content of the first box at a path."""
    for wanted in path:
        data = next((content for kind, content in _boxes(data) if kind == wanted), b"")
    return data


def _facts(movie: bytes) -> Header | None:
    video, audio = None, []
    for track in (content for kind, content in _boxes(movie) if kind == b"trak"):
        media = _box(track, b"mdia")
        match _box(media, b"hdlr")[8:12]:
            case b"vide" if video is None:
                video = media
            case b"soun":
                audio.append(_audio(media))
    return None if video is None else _video(video, _fragments_seconds(movie), tuple(audio))


def _fragments_seconds(movie: bytes) -> float:
    """Return the duration that a file of fragments states, or 0."""
    extends, whole = _box(movie, b"mvex", b"mehd"), _box(movie, b"mvhd")
    if not extends:
        return 0.0
    (scale,) = struct.unpack_from(">I", whole, 20 if whole[0] else 12)
    (ticks,) = struct.unpack_from(">Q" if extends[0] else ">I", extends, 4)
    return float(ticks / scale)


def _video(media: bytes, fragments_seconds: float, audio: tuple[AudioTrack, ...]) -> Header:
    samples = _box(media, b"minf", b"stbl")
    entry = _box(samples, b"stsd")[8:]
    length, fourcc = struct.unpack_from(">I4s", entry)
    width, height = struct.unpack_from(">HH", entry, 32)
    colour = _box(entry[86:length], b"colr")
    times = _box(samples, b"stts")
    (count,) = struct.unpack_from(">I", times, 4)
    runs = struct.iter_unpack(">II", times[8 : 8 + 8 * count])
    frames = ticks = 0
    for number, delta in runs:
        frames, ticks = frames + number, ticks + number * delta
    scale, seconds = _duration(media)
    seconds = seconds or fragments_seconds
    if not seconds:
        raise ValueError("no duration")
    rate = frames * scale / ticks if ticks else 30.0
    return Header(
        codec=_VIDEO_CODECS.get(fourcc.decode("latin-1"), fourcc.decode("latin-1").strip().lower()),
        duration_ms=int(seconds * 1_000),
        frames=max(1, frames or int(seconds * rate)),
        frame_rate=rate,
        width_px=width,
        height_px=height,
        full_range=colour[:4] == b"nclx" and bool(colour[10] & 0x80),
        audio=audio,
    )


def _audio(media: bytes) -> AudioTrack:
    entry = _box(media, b"minf", b"stbl", b"stsd")[8:]
    name = entry[4:8].decode("latin-1").lower()
    (channels,) = struct.unpack_from(">H", entry, 24)
    (rate,) = struct.unpack_from(">H", entry, 32)
    _, seconds = _duration(media)
    return AudioTrack(_AUDIO_CODECS.get(name, name.strip()), int(seconds * 1_000), rate, channels)


def _duration(media: bytes) -> tuple[int, float]:
    """Return a track's ticks per second, and its seconds."""
    header = _box(media, b"mdhd")
    scale, ticks = struct.unpack_from(
        ">IQ" if header[0] else ">II", header, 20 if header[0] else 12
    )
    return scale, ticks / scale
