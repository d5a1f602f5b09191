"""Read the facts of a video from its header in S3, with a few small requests.

MP4 and QuickTime files (ISO/IEC 14496-12) are parsed: boxes, each with a size and a kind. Only the
headers of boxes and a few fields are read, so neither the length of the video nor the content of
the file decides about time and memory. Other containers are recognized by their first bytes.
"""

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from retinue_sdk import ImageReference, InvalidImageError, Video
from retinue_sdk.detection import MAX_INTEGER

from retinue_workers.intake.s3 import ObjectStore
from retinue_workers.intake.video_container import container_of, demuxer_of

WINDOW_BYTES = 65_536
"""Bytes of a request. The header of most videos fits, except for the tables of their samples."""

MAX_REQUESTS = 16
"""Maximum number of requests for a file. Most need one or two."""

MAX_BOXES = 2_000
"""Maximum number of boxes that are looked at. Files have dozens."""

_TABLE_BYTES = 32_768
"""Maximum size of a table that is read as a whole."""

_CODECS = {
    b"SVQ3": "svq3",
    b"ap4h": "prores",
    b"ap4x": "prores",
    b"apch": "prores",
    b"apcn": "prores",
    b"apco": "prores",
    b"apcs": "prores",
    b"av01": "av1",
    b"avc1": "h264",
    b"avc2": "h264",
    b"avc3": "h264",
    b"avc4": "h264",
    b"dva1": "h264",
    b"dvav": "h264",
    b"dvh1": "hevc",
    b"dvhe": "hevc",
    b"hev1": "hevc",
    b"hvc1": "hevc",
    b"jpeg": "mjpeg",
    b"mjpa": "mjpeg",
    b"mjpb": "mjpeg",
    b"mp4v": "mpeg4",
    b"rle ": "qtrle",
    b"s263": "h263",
    b"vp08": "vp8",
    b"vp09": "vp9",
    b"vvc1": "vvc",
    b"vvi1": "vvc",
}
"""FFmpeg's names of codecs, by the kind of sample entry."""


def read_video(store: ObjectStore, reference: ImageReference) -> Video:
    """Return a video with the facts of its header. Blocks, for one to ``MAX_REQUESTS`` requests.

    Facts that the header doesn't have are ``None``; so are the codec, duration and size in
    containers other than MP4 and QuickTime.

    Raises:
        InvalidImageError: The object isn't a video (``not_a_video``), its header is incomplete or
            damaged (``corrupt_video``), or it has only sound (``no_video_track``). Also as for
            ``ObjectStore.fetch``, whose limit on the size doesn't apply.
        DetectorError: As for ``ObjectStore.fetch``.
    """
    begin, size_bytes = store.read_part(reference, 0, WINDOW_BYTES)
    container = container_of(begin)
    if demuxer_of(begin) != "mov":
        return Video(reference, size_bytes, container=container)
    file = _File(begin, size_bytes, lambda at, size: store.read_part(reference, at, size)[0])
    return _parse(file, reference, container)


class _Box(NamedTuple):
    """A box of a file: its kind, and where its content begins and ends."""

    kind: bytes
    start: int
    end: int


class _File:
    """Reads parts of a file. Neighbouring parts share a request.

    Args:
        begin: The file's beginning.
        size: The file's size in bytes.
        fetch: Returns the bytes at an offset, as many as requested unless the file ends.
    """

    def __init__(self, begin: bytes, size: int, fetch: Callable[[int, int], bytes]) -> None:
        self.size = size
        self._fetch = fetch
        self._window = begin
        self._at = 0
        self._requests = 1
        self._boxes = 0

    def read(self, at: int, size: int) -> bytes:
        """Return ``size`` bytes."""
        if at + size > self.size:
            raise _corrupt("it ends within its header")
        if not (self._at <= at and at + size <= self._at + len(self._window)):
            if self._requests == MAX_REQUESTS:
                raise _corrupt(f"its header needs more than {MAX_REQUESTS} reads")
            self._requests += 1
            self._window = self._fetch(at, min(max(size, WINDOW_BYTES), self.size - at))
            self._at = at
        found = self._window[at - self._at :][:size]
        if len(found) < size:
            raise _corrupt("it became shorter while it was read")
        return found

    def boxes(self, start: int, end: int) -> Iterator[_Box]:
        """Yield the boxes between two offsets. The last one may claim to end later."""
        while start + 8 <= end:
            self._boxes += 1
            if self._boxes > MAX_BOXES:
                raise _corrupt(f"its header has more than {MAX_BOXES} parts")
            size, kind = struct.unpack(">I4s", self.read(start, 8))
            content = start + 8
            if size == 1:  # the size follows, in 64 bits
                size = struct.unpack(">Q", self.read(content, 8))[0]
                content += 8
            elif size == 0:  # to the end
                size = end - start
            if start + size < content:
                raise _corrupt(f"a part of {size} bytes can't exist")
            yield _Box(kind, content, start + size)
            start += size

    def children(self, box: _Box) -> Iterator[_Box]:
        """Yield the boxes inside a box."""
        return self.boxes(box.start, box.end)

    def fields(self, box: _Box, at: int, form: str) -> tuple[Any, ...]:
        """Return values at an offset of a box's content, by the format of ``struct``."""
        size = struct.calcsize(f">{form}")
        if box.start + at + size > box.end:
            raise _corrupt(f"its part {box.kind.decode('latin-1')!r} is too short")
        return struct.unpack(f">{form}", self.read(box.start + at, size))


@dataclass(slots=True)
class _Track:
    """A track of a file. Times are in units of ``1 / timescale`` seconds.

    Attributes:
        number: The track's id.
        is_enabled: Whether players show it. Pictures of chapters aren't.
        is_video: Whether it has pictures; ``None`` if its handler wasn't read.
        timescale: Units per second; 0 if unknown.
        duration: The duration of its media; 0 if unknown or in fragments.
        shown_duration: Its duration with edits, in units of the movie's timescale.
        samples: Number of frames; 0 if unknown or in fragments.
        codec: The codec's name.
        coded: Width and height of its frames.
        pixel: Width and height of a pixel, in any unit.
        shown: Width and height that its header declares.
        turn: The first four numbers of the matrix a, b, c, d.
    """

    number: int = 0
    is_enabled: bool = False
    is_video: bool | None = None
    timescale: int = 0
    duration: int = 0
    shown_duration: int = 0
    samples: int = 0
    codec: str | None = None
    coded: tuple[int, int] = (0, 0)
    pixel: tuple[int, int] | None = None
    shown: tuple[float, float] = (0.0, 0.0)
    turn: tuple[int, int, int, int] = (1, 0, 0, 1)


@dataclass(slots=True)
class _Movie:
    """The content of a file's header.

    Attributes:
        timescale: Units per second of the durations.
        duration: Its duration; 0 if unknown.
        fragments_duration: The same with all fragments; 0 if unknown.
        sample_duration: Default duration of a sample in fragments, by track.
        is_fragmented: Whether samples are described in fragments.
        tracks: Its tracks.
    """

    timescale: int
    duration: int
    fragments_duration: int
    sample_duration: dict[int, int]
    is_fragmented: bool
    tracks: list[_Track]


def _parse(file: _File, reference: ImageReference, container: str) -> Video:
    fragment: _Box | None = None
    index_seconds = 0.0
    movie: _Movie | None = None
    track: _Track | None = None
    has_media = False
    for box in file.boxes(0, file.size):
        match box.kind:
            case b"moov" if movie is None:
                if box.end > file.size:
                    raise _corrupt("it ends within its header")
                movie = _movie(file, box)
                track = _video_track(movie, reference)
                if not movie.is_fragmented or track.samples:
                    break
            case b"sidx":
                index_seconds = index_seconds or _index_seconds(file, box)
            case b"moof":
                fragment = box
                break
            case b"mdat":
                has_media = True
    if movie is None or track is None:
        missing = "its index (moov) is missing" if has_media else "it has neither index nor media"
        raise _corrupt(f"{missing}: the recording or the upload was cut off")
    media_seconds = seconds = _seconds(track.duration, track.timescale)
    if shown := _seconds(track.shown_duration, movie.timescale):
        seconds = min(seconds or shown, shown)  # an edit may cut off a part, or begin with a pause
    rated_seconds = media_seconds or seconds  # of all frames, also those that an edit cuts off
    frame_rate = track.samples / rated_seconds if rated_seconds else 0.0
    if not track.samples and fragment is not None:
        first = _fragment(file, fragment, track, movie)
        if first is not None and first.duration:
            frame_rate = first.samples * track.timescale / first.duration
        seconds = (
            _seconds(movie.fragments_duration, movie.timescale)
            or _fragments_seconds(file, track, movie, first)
            or index_seconds
            or seconds
        )
    seconds = seconds or _seconds(movie.duration, movie.timescale)
    duration_ms = round(max(seconds * 1_000, 1)) if seconds else 0
    width_px, height_px, rotation_degrees = _picture(track)
    return Video(
        reference,
        file.size,
        duration_ms=duration_ms if 0 < duration_ms <= MAX_INTEGER else None,
        frame_rate=frame_rate if 0 < frame_rate < math.inf else None,
        codec=track.codec,
        container=container,
        width_px=width_px or None,
        height_px=height_px or None,
        rotation_degrees=rotation_degrees,
    )


def _movie(file: _File, moov: _Box) -> _Movie:
    """Return the header's content, up to the first enabled video track with samples."""
    movie = _Movie(0, 0, 0, {}, is_fragmented=False, tracks=[])
    for box in file.children(moov):
        match box.kind:
            case b"mvhd":
                movie.timescale, movie.duration = _scaled(file, box)
            case b"trak":
                track = _track(file, box)
                movie.tracks.append(track)
                if track.is_video and track.is_enabled and track.codec and track.samples:
                    break
            case b"mvex":
                movie.is_fragmented = True
                for child in file.children(box):
                    if child.kind == b"mehd":
                        is_long = file.fields(child, 0, "B")[0] == 1
                        duration = file.fields(child, 4, "Q" if is_long else "I")[0]
                        movie.fragments_duration = duration
                    elif child.kind == b"trex":
                        number, _, duration = file.fields(child, 4, "III")
                        movie.sample_duration[number] = duration
    return movie


def _video_track(movie: _Movie, reference: ImageReference) -> _Track:
    """Return the track that players show.

    Raises:
        InvalidImageError: There is none (``no_video_track``).
    """
    found = [track for track in movie.tracks if track.is_video]
    if not found:
        raise InvalidImageError(
            f"{reference.uri} has no video track, perhaps only sound: upload a file with pictures",
            code="no_video_track",
        )
    return next((track for track in found if track.is_enabled), found[0])


def _track(file: _File, trak: _Box) -> _Track:
    track = _Track()
    for box in file.children(trak):
        if box.kind == b"tkhd":
            version, flags = _version(file, box)
            track.is_enabled = bool(flags & 1)
            at = 20 if version == 1 else 12
            track.number = file.fields(box, at, "I")[0]
            form = "Q" if version == 1 else "I"
            track.shown_duration = _known(file.fields(box, at + 8, form)[0], form)
            at += 8 + struct.calcsize(f">{form}") + 16
            matrix = file.fields(box, at, "9i")
            track.turn = (matrix[0], matrix[1], matrix[3], matrix[4])
            width, height = file.fields(box, at + 36, "II")
            track.shown = (width / 65_536, height / 65_536)
        elif box.kind == b"mdia":
            _read_media(file, box, track)
    return track


def _read_media(file: _File, mdia: _Box, track: _Track) -> None:
    for box in file.children(mdia):
        match box.kind:
            case b"mdhd":
                track.timescale, track.duration = _scaled(file, box)
            case b"hdlr":
                track.is_video = file.fields(box, 8, "4s")[0] == b"vide"
                if not track.is_video:
                    return
            case b"minf":
                for child in file.children(box):
                    if child.kind == b"stbl":
                        _read_samples(file, child, track)
                        return


def _read_samples(file: _File, stbl: _Box, track: _Track) -> None:
    """Read the boxes with codec, size and number of frames, and skip all others."""
    for box in file.children(stbl):
        match box.kind:
            case b"stsd":
                _read_codec(file, box, track)
            case b"stts":  # short, unless the frame rate varies
                entries = file.fields(box, 4, "I")[0]
                if entries * 8 <= _TABLE_BYTES:
                    numbers = file.fields(box, 8, f"{entries * 2}I")
                    track.samples = sum(numbers[::2])
            case b"stsz" | b"stz2":
                track.samples = file.fields(box, 8, "I")[0]
        if track.samples and track.codec:
            return


def _read_codec(file: _File, stsd: _Box, track: _Track) -> None:
    entry = next(file.boxes(stsd.start + 8, stsd.end), None)
    if entry is None:
        return
    kind = entry.kind
    track.coded = file.fields(entry, 24, "HH")
    for box in file.boxes(entry.start + 78, min(entry.end, stsd.end)):
        if box.kind == b"pasp":
            track.pixel = file.fields(box, 0, "II")
        elif box.kind == b"sinf" and kind == b"encv":
            kind = b"encrypted"
    name = kind.decode("latin-1").strip().lower()
    track.codec = _CODECS.get(kind) or (name if name.isascii() and name.isprintable() else None)


class _Samples(NamedTuple):
    """The samples of a track in one fragment, in units of the track's timescale."""

    start: int
    samples: int
    duration: int


def _fragment(file: _File, moof: _Box, track: _Track, movie: _Movie) -> _Samples | None:
    """Return a track's samples in a fragment; ``None`` without any, or if they can't be timed."""
    start: int | None = None
    samples = duration = 0
    for traf in file.children(moof):
        if traf.kind != b"traf":
            continue
        default = 0
        for box in file.children(traf):
            if box.kind == b"tfhd":
                _, flags = _version(file, box)
                if file.fields(box, 4, "I")[0] != track.number:
                    break
                default = movie.sample_duration.get(track.number, 0)
                if flags & 0x8:
                    at = 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
                    default = file.fields(box, at, "I")[0]
            elif box.kind == b"tfdt":
                version, _ = _version(file, box)
                start = file.fields(box, 4, "Q" if version == 1 else "I")[0]
            elif box.kind == b"trun":
                number, total = _run(file, box, default)
                samples += number
                duration += total
    return None if start is None or not samples else _Samples(start, samples, duration)


def _run(file: _File, trun: _Box, default: int) -> tuple[int, int]:
    """Return the number of samples of a run, and their duration; 0 if it is unknown."""
    _, flags = _version(file, trun)
    number = file.fields(trun, 4, "I")[0]
    if not flags & 0x100:
        return number, number * default
    width = sum(bool(flags & flag) for flag in (0x100, 0x200, 0x400, 0x800))
    if number * width * 4 > _TABLE_BYTES:
        return number, 0
    at = 8 + (4 if flags & 0x1 else 0) + (4 if flags & 0x4 else 0)
    return number, sum(file.fields(trun, at, f"{number * width}I")[::width])


def _fragments_seconds(file: _File, track: _Track, movie: _Movie, first: _Samples | None) -> float:
    """Return the duration up to the end of the last fragment, which an index at the end names."""
    if first is None or file.size < 16:
        return 0.0
    tail = file.read(max(0, file.size - WINDOW_BYTES), min(file.size, WINDOW_BYTES))
    size, kind, _, index_size = struct.unpack(">I4sII", tail[-16:])
    if (size, kind) != (16, b"mfro") or not 16 <= index_size <= file.size:
        return 0.0
    for mfra in file.boxes(file.size - index_size, file.size):
        if mfra.kind != b"mfra":
            break
        for box in file.children(mfra):
            if box.kind == b"tfra" and file.fields(box, 4, "I")[0] == track.number:
                return _up_to_last(file, box, track, movie, first)
    return 0.0


def _up_to_last(file: _File, tfra: _Box, track: _Track, movie: _Movie, first: _Samples) -> float:
    version, _ = _version(file, tfra)
    lengths, entries = file.fields(tfra, 8, "II")
    form = "QQ" if version == 1 else "II"
    size = struct.calcsize(f">{form}") + sum((lengths >> shift & 3) + 1 for shift in (4, 2, 0))
    if not entries:
        return 0.0
    offset = file.fields(tfra, 16 + (entries - 1) * size, form)[1]
    moof = next(file.boxes(offset, file.size), None)
    if moof is None or moof.kind != b"moof":
        return 0.0
    last = _fragment(file, moof, track, movie)
    if last is None:
        return 0.0
    return _seconds(max(0, last.start + last.duration - first.start), track.timescale)


def _index_seconds(file: _File, sidx: _Box) -> float:
    """Return the duration of all segments that an index names; 0 if it isn't of the whole file."""
    version, _ = _version(file, sidx)
    timescale = file.fields(sidx, 8, "I")[0]
    at, form = (28, "QQ") if version == 1 else (20, "II")
    first_offset = file.fields(sidx, 12, form)[1]
    number = file.fields(sidx, at + 2, "H")[0]
    if number * 12 > _TABLE_BYTES:
        return 0.0
    entries = file.fields(sidx, at + 4, f"{number * 3}I")
    if sidx.end + first_offset + sum(size & 0x7FFF_FFFF for size in entries[::3]) < file.size:
        return 0.0
    return _seconds(sum(entries[1::3]), timescale)


def _picture(track: _Track) -> tuple[int, int, int]:
    """Return width, height and rotation as displayed."""
    width, height = map(float, track.coded)
    if track.pixel is not None and 0 not in track.pixel:
        width = width * track.pixel[0] / track.pixel[1]
    elif 0 not in track.shown:
        width, height = track.shown
    a, b, c, d = track.turn
    if a * d - b * c < 0:  # mirrored
        a, b = -a, -b
    rotation = round(math.degrees(math.atan2(b, a)) / 90) % 4 * 90
    if rotation in (90, 270):
        width, height = height, width
    return round(min(width, MAX_INTEGER)), round(min(height, MAX_INTEGER)), rotation


def _version(file: _File, box: _Box) -> tuple[int, int]:
    """Return a box's version and flags."""
    value = file.fields(box, 0, "I")[0]
    return value >> 24, value & 0xFF_FFFF


def _scaled(file: _File, box: _Box) -> tuple[int, int]:
    """Return timescale and duration of a box ``mvhd`` or ``mdhd``."""
    version, _ = _version(file, box)
    at, form = (20, "Q") if version == 1 else (12, "I")
    timescale, duration = file.fields(box, at, f"I{form}")
    return timescale, _known(duration, form)


def _known(duration: int, form: str) -> int:
    """Return a duration; 0 if all its bits are set, which means that it is unknown."""
    return 0 if duration == 2 ** (8 * struct.calcsize(f">{form}")) - 1 else duration


def _seconds(duration: int, timescale: int) -> float:
    return duration / timescale if timescale else 0.0


def _corrupt(problem: str) -> InvalidImageError:
    return InvalidImageError(
        f"the video can't be read: {problem}. Upload the complete file", code="corrupt_video"
    )
