"""Recognise containers of videos by their first bytes."""

from retinue_sdk import InvalidImageError

HEAD_BYTES = 4_096
"""How many of a file's first bytes ``container_of`` needs."""

REMEDY = "convert it, for example with: ffmpeg -i FILE -c:v libx264 -pix_fmt yuv420p FILE.mp4"

_TRANSPORT_PACKETS = (188, 192, 204)
"""Lengths of MPEG-TS packets: plain, with a time code in front (M2TS), with error correction."""

_BOXES = frozenset(
    {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"sidx"}
)
"""Boxes that a file in the family of MP4 and QuickTime may begin with."""

_STILL_BRANDS = frozenset({b"avif", b"heic", b"heix", b"mif1"})
"""Brands of pictures in the same family."""


def container_of(head: bytes) -> str:
    """Return FFmpeg's name of the demuxer for a file, from its first bytes.

    FFmpeg isn't asked to guess: among its formats are playlists, which refer to other files and to
    addresses in the network, and texts and pictures that it shows as videos.

    Raises:
        InvalidImageError: It is none of the supported containers (``not_a_video``).
    """
    if head[4:8] in _BOXES and head[8:12] not in _STILL_BRANDS:
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    if head.startswith(b"\x00\x00\x01\xba"):
        return "mpeg"
    if any(_is_transport(head, length) for length in _TRANSPORT_PACKETS):
        return "mpegts"
    raise InvalidImageError(
        f"not a video in MP4, MOV, 3GP, Matroska, WebM, AVI or MPEG, by its content: {REMEDY}",
        code="not_a_video",
    )


def is_mp4(head: bytes) -> bool:
    """Return whether a file with the demuxer ``mov`` is an MP4 or 3GP, and not a QuickTime file."""
    return head[4:8] == b"ftyp" and head[8:12] != b"qt  "


def _is_transport(head: bytes, length: int) -> bool:
    first = length - 188 if length == 192 else 0
    starts = head[first::length]
    return len(starts) > 4 and set(starts) == {0x47}
