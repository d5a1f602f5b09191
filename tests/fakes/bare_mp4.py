"""MP4 files that consist of a header and some bytes, for code that reads only headers."""

import struct


def mp4(
    *,
    frames: int = 250,
    ticks_per_second: int = 25,
    ticks_per_frame: int = 1,
    codec: bytes = b"avc1",
    size: tuple[int, int] = (640, 360),
    has_audio: bool = False,
    header_first: bool = True,
    content: bytes = b"frames",
) -> bytes:
    """Return a file with a video track, by default of ten seconds.

    Args:
        frames: Its number of frames.
        ticks_per_second: The track's unit of time.
        ticks_per_frame: Duration of a frame.
        codec: The type of its sample entry.
        size: Width and height.
        has_audio: Whether it has stereo AAC at 44.1 kHz, too.
        header_first: Whether the header comes before the content.
        content: What stands in for the frames.
    """
    duration = frames * ticks_per_frame
    entry = bytes(24) + struct.pack(">HH", *size) + bytes(50)
    colour = _box(b"colr", b"nclx" + bytes(6) + b"\x80")
    timing = [(frames, ticks_per_frame)]
    tracks = _track(b"vide", ticks_per_second, duration, _box(codec, entry + colour), timing)
    if has_audio:
        sound = bytes(16) + struct.pack(">HHIHH", 2, 16, 0, 44_100, 0)
        samples = 44_100 * duration // ticks_per_second
        tracks += _track(b"soun", 44_100, samples, _box(b"mp4a", sound), [(samples // 1024, 1024)])
    whole = struct.pack(">IIIII", 0, 0, 0, ticks_per_second, duration) + bytes(80)
    movie = _box(b"moov", _box(b"mvhd", whole) + tracks)
    kind = _box(b"ftyp", b"isom" + bytes(4) + b"isomavc1")
    data = _box(b"mdat", content)
    return kind + (movie + data if header_first else data + movie)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _track(
    handler: bytes, scale: int, duration: int, entry: bytes, timing: list[tuple[int, int]]
) -> bytes:
    described = _box(b"stsd", struct.pack(">II", 0, 1) + entry)
    times = b"".join(struct.pack(">II", *run) for run in timing)
    table = _box(b"stbl", described + _box(b"stts", struct.pack(">II", 0, len(timing)) + times))
    media = (
        _box(b"mdhd", struct.pack(">IIIIII", 0, 0, 0, scale, duration, 0))
        + _box(b"hdlr", bytes(8) + handler + bytes(13))
        + _box(b"minf", table)
    )
    return _box(b"trak", _box(b"mdia", media))
