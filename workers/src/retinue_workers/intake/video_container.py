"""Recognise containers of videos by their first bytes."""

from retinue_sdk import InvalidImageError

HEAD_BYTES = 4_096
"""How many of a file's first bytes are needed."""

REMEDY = "convert it, for example with: ffmpeg -i FILE -c:v libx264 -pix_fmt yuv420p FILE.mp4"

_TRANSPORT_PACKETS = (188, 192, 204)
"""Lengths of MPEG-TS packets: plain, with a time code in front (M2TS), with error correction."""

_BOXES = frozenset(
    {
        b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"sidx", b"uuid"
    }
)  # fmt: skip
"""Boxes that a file in the family of MP4 and QuickTime may begin with."""

_STILL_BRANDS = frozenset({b"avif", b"crx ", b"heic", b"heix", b"mif1"})
"""Brands of pictures in the same family."""

_MATROSKA = b"\x1a\x45\xdf\xa3"
"""The id of the element that a Matroska file begins with."""

_MATROSKA_SEGMENT = b"\x18\x53\x80\x67"
"""The id of the element that has all others."""

_OTHER_CONTENT = (
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
    (b"GIF8", "a GIF image"),
    (b"#EXTM3U", "a playlist"),
    (b"[playlist]", "a playlist"),
    (b"ffconcat", "a playlist"),
    (b"http://", "a URL"),
    (b"https://", "a URL"),
    (b"[InternetShortcut]", "a URL"),
    (b"version https://git-lfs", "a pointer of Git LFS"),
    (b"<", "a web page or XML"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a compressed archive"),
    (b"ID3", "an MP3 file"),
)
"""Content that isn't a video, by its first bytes."""


def demuxer_of(head: bytes) -> str:
    """Return FFmpeg's name of the demuxer for a file, from its first bytes.

    FFmpeg isn't asked to guess: among its formats are playlists, which refer to other files and to
    addresses in the network, and texts and pictures that it shows as videos.

    Raises:
        InvalidImageError: It is none of the supported containers (``not_a_video``).
    """
    if head[4:8] in _BOXES and not _is_still(head):
        return "mov"
    if head.startswith(_MATROSKA):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    if head.startswith(b"\x00\x00\x01\xba"):
        return "mpeg"
    if any(_is_transport(head, length) for length in _TRANSPORT_PACKETS):
        return "mpegts"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    kinds = (kind for magic, kind in _OTHER_CONTENT if text.startswith(magic))
    kind = "an image" if _is_still(head) else next(kinds, "something else")
    raise InvalidImageError(
        "the name is that of a video, and the content isn't in MP4, MOV, 3GP, Matroska, WebM, AVI "
        f"or MPEG: it is {kind}. Upload the video itself, give the object a suffix that matches "
        f"its content, or {REMEDY}",
        code="not_a_video",
    )


def container_of(head: bytes) -> str:
    """Return the container's name, such as ``mp4``, ``mov``, ``3gp``, ``webm`` or ``matroska``.

    Raises:
        InvalidImageError: As for ``demuxer_of``.
    """
    demuxer = demuxer_of(head)
    if demuxer == "matroska" and b"webm" in head[:64]:
        return "webm"
    if demuxer == "mov" and head[4:8] == b"ftyp" and head[8:12] != b"qt  ":
        return "3gp" if head[8:11] in (b"3gp", b"3g2") else "mp4"
    return demuxer


def announced_bytes(head: bytes) -> int:
    """Return the length of a Matroska or WebM file by its first bytes; 0 if it isn't there.

    FFmpeg itself notices the early end of files in other containers.
    """
    if not head.startswith(_MATROSKA):
        return 0
    header_bytes, start = _matroska_size(head, len(_MATROSKA))
    segment = start + header_bytes
    if head[segment : segment + 4] != _MATROSKA_SEGMENT:
        return 0
    size_bytes, start = _matroska_size(head, segment + len(_MATROSKA_SEGMENT))
    return start + size_bytes if size_bytes else 0


def _matroska_size(head: bytes, start: int) -> tuple[int, int]:
    """Return the size of an element, 0 if it is unknown, and where its content starts."""
    first = head[start] if start < len(head) else 0
    length = 9 - first.bit_length()  # the number of leading zeros, and one
    end = start + length
    if not first or end > len(head):
        return 0, end
    most = (1 << 7 * length) - 1
    size_bytes = int.from_bytes(head[start:end], "big") & most
    return (0 if size_bytes == most else size_bytes), end


def _is_still(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS


def _is_transport(head: bytes, length: int) -> bool:
    first = length - 188 if length == 192 else 0
    starts = head[first::length]
    return len(starts) > 4 and set(starts) == {0x47}
