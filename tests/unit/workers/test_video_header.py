"""Reading the facts of a video from its header, whatever the file contains."""

import struct
from typing import Any

import pytest
from fakes.mp4 import box, moved, silence, video
from fakes.object_store import MemoryS3, client_error, store_on
from hypothesis import given, settings
from hypothesis import strategies as st
from retinue_sdk import ImageReference, InvalidImageError, RetriableError, Video
from retinue_workers.intake.video_header import MAX_BOXES, MAX_REQUESTS, read_video

FRAGMENTED = "frag_keyframe+empty_moov"
MEGABYTES = 5_000_000


def read(data: bytes, key: str = "clip.mp4") -> tuple[Video, int]:
    """Return the facts of a file, and the number of requests for them."""
    s3 = MemoryS3()
    s3.create_bucket(Bucket="b")
    put = s3.put_object(Bucket="b", Key=key, Body=data)
    try:
        found = read_video(store_on(s3), ImageReference("b", key, etag=put["ETag"].strip('"')))
    finally:
        assert len(s3.gets) <= MAX_REQUESTS
    return found, len(s3.gets)


def refusal(data: bytes) -> tuple[str, str]:
    with pytest.raises(InvalidImageError) as caught:
        read(data)
    assert not caught.value.retryable
    return caught.value.code, str(caught.value)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({}, {}),
        ({"container": "mov"}, {"container": "mov"}),
        ({"container": "3gp"}, {"container": "3gp"}),
        ({"codec": "libx265", "pix_fmt": "yuv420p10le"}, {"codec": "hevc"}),
        ({"codec": "mpeg4"}, {"codec": "mpeg4"}),
        ({"pixel": (4, 3)}, {"width_px": 85}),
        ({"times_ms": (0, 40, 200, 1_200, 3_000)}, {"duration_ms": 3_040, "frame_rate": 5 / 3.04}),
        ({"rate": 100_000, "frames": 500}, {"duration_ms": 5, "frame_rate": 100_000.0}),
        ({"flags": FRAGMENTED, "frames": 600}, {"duration_ms": 24_000}),
        ({"flags": "dash", "frames": 600}, {"duration_ms": 24_000}),
    ],
    ids=str,
)
def test_the_header_of_a_video_is_read(made: dict[str, Any], expected: dict[str, Any]) -> None:
    data = video(**made)
    found, requests = read(data)
    facts: dict[str, Any] = {
        "duration_ms": 1_000,
        "frame_rate": 25.0,
        "codec": "h264",
        "container": "mp4",
        "width_px": 64,
        "height_px": 48,
        **expected,
    }
    rate = facts.pop("frame_rate")
    assert found == Video(found.reference, len(data), frame_rate=found.frame_rate, **facts)
    assert found.frame_rate == pytest.approx(rate, rel=0.02)
    assert requests == 1


@pytest.mark.parametrize(
    ("matrix", "degrees"),
    [
        ((1, 0, 0, 1), 0),
        ((0, 1, -1, 0), 90),
        ((-1, 0, 0, -1), 180),
        ((0, -1, 1, 0), 270),
        ((-1, 0, 0, 1), 0),  # mirrored, and then turned
        ((0, -1, -1, 0), 90),
        ((1, 0, 0, -1), 180),
        ((0, 1, 1, 0), 270),
    ],
)
def test_the_size_is_that_of_the_turned_video(
    matrix: tuple[int, int, int, int], degrees: int
) -> None:
    a, b, c, d = (65_536 * part for part in matrix)
    found, _ = read(video(matrix=(a, b, 0, c, d, 0, 0, 0, 2**30)))
    size = (64, 48) if degrees in (0, 180) else (48, 64)
    assert (found.width_px, found.height_px, found.rotation_degrees) == (*size, degrees)


@pytest.mark.parametrize(("share", "duration_ms"), [(1, 24_000), (0.5, None)])
def test_an_index_of_segments_tells_the_duration_if_it_names_all(
    share: float, duration_ms: int | None
) -> None:
    data = video(flags=f"{FRAGMENTED}+skip_trailer", frames=600)
    at = data.index(b"moof") - 4
    index = box(
        b"sidx",
        struct.pack(">6I2H", 0, 1, 1_000, 0, 0, 0, 0, 1)[:20],
        struct.pack(">2H3I", 0, 1, int((len(data) - at) * share), 24_000, 0),
    )
    found, _ = read(data[:at] + index + data[at:])
    assert (found.duration_ms, found.frame_rate) == (duration_ms, 25.0)


@pytest.mark.parametrize(
    ("flags", "gap", "most"),
    [
        ("", {b"mdat": MEGABYTES}, 2),  # the header is behind the media
        ("", {b"mdat": MEGABYTES, b"moov": MEGABYTES}, 3),
        (FRAGMENTED, {b"mfra": MEGABYTES}, 3),  # and so is the index of fragments
    ],
)
def test_few_requests_find_a_header_in_a_large_file(
    flags: str, gap: dict[bytes, int], most: int
) -> None:
    found, requests = read(moved(video(flags=flags, frames=600), gap))
    assert (found.codec, found.duration_ms, found.frame_rate) == ("h264", 24_000, 25.0)
    assert requests <= most


@pytest.mark.parametrize(
    ("made", "container"),
    [
        ({"container": "webm", "codec": "libvpx-vp9"}, "webm"),
        ({"container": "matroska"}, "matroska"),
        ({"container": "avi", "codec": "mpeg4"}, "avi"),
        ({"container": "mpeg", "codec": "mpeg2video"}, "mpeg"),
        ({"container": "mpegts"}, "mpegts"),
    ],
    ids=str,
)
def test_other_containers_are_recognized(made: dict[str, Any], container: str) -> None:
    data = video(**made)
    found, _ = read(data)
    assert found == Video(found.reference, len(data), container=container)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "a JPEG image"),
        (b"#EXTM3U\n#EXT-X-VERSION:3\n", "a playlist"),
        (b"\xef\xbb\xbf\n https://example.com/clip.mp4", "a URL"),
        (b"<!doctype html>", "a web page"),
        (box(b"ftyp", b"heic", bytes(4)) + box(b"meta", bytes(9)), "an image"),
        (bytes(100), "something else"),
        (b"G" + bytes(187) + b"G", "something else"),
        (b"x", "something else"),
    ],
)
def test_other_content_under_a_videos_name_is_refused_with_the_remedy(
    data: bytes, kind: str
) -> None:
    code, message = refusal(data)
    assert code == "not_a_video"
    assert f"it is {kind}" in message
    assert "suffix that matches its content" in message


@pytest.mark.parametrize(
    ("data", "code", "problem"),
    [
        (b"", "empty_file", "0 bytes"),
        (silence(), "no_video_track", "only sound"),
        (video()[:-100], "corrupt_video", "ends within its header"),
        (video()[:600], "corrupt_video", "index (moov) is missing: the recording or the upload"),
        (box(b"ftyp", b"isom"), "corrupt_video", "neither index nor media"),
        (box(b"ftyp", b"isom") + box(b"moov", bytes(4), size=7), "corrupt_video", "7 bytes"),
        (box(b"ftyp", b"isom") + box(b"free") * MAX_BOXES, "corrupt_video", "more than"),
        (
            box(b"ftyp", b"isom")
            + box(b"moov", *(box(b"free", bytes(70_000)) for _ in range(MAX_REQUESTS + 1))),
            "corrupt_video",
            f"more than {MAX_REQUESTS} reads",
        ),
        (
            box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"free", 2**64 - 1),
            "corrupt_video",
            "neither index nor media",
        ),
    ],
)
def test_a_file_without_a_usable_header_is_refused(data: bytes, code: str, problem: str) -> None:
    found, message = refusal(data)
    assert found == code
    assert problem in message


def patched(data: bytes, kind: bytes, at: int, form: str, *values: int) -> bytes:
    """Return a file with other values at an offset of the first box of a kind."""
    start = data.index(kind) + 4 + at
    size = struct.calcsize(f">{form}")
    return data[:start] + struct.pack(f">{form}", *values) + data[start + size :]


@pytest.mark.parametrize(
    ("kind", "at", "form", "values", "duration_ms"),
    [
        (b"mdhd", 12, "II", (0, 5), 1_000),  # no unit of time: the track's own duration
        (b"mdhd", 12, "II", (1, 2**32 - 1), 1_000),  # unknown
        (b"tkhd", 20, "I", (2**32 - 1,), 1_000),
        (b"tkhd", 20, "I", (400,), 400),  # edits show a part
        (b"tkhd", 20, "I", (3_000,), 1_000),  # edits begin with a pause
    ],
)
def test_the_duration_is_that_of_what_is_shown(
    kind: bytes, at: int, form: str, values: tuple[int, ...], duration_ms: int
) -> None:
    found, _ = read(patched(video(), kind, at, form, *values))
    assert (found.duration_ms, found.frame_rate) == (duration_ms, 25.0)


def test_an_impossible_duration_is_unknown() -> None:
    endless = patched(video(), b"tkhd", 20, "I", 0)
    assert read(patched(endless, b"mdhd", 12, "II", 1, 2**31))[0].duration_ms is None


@pytest.mark.parametrize("other", ["sound", "a chapter's picture"])
def test_another_track_is_not_the_video(other: str) -> None:
    data = video()
    start = data.index(b"trak") - 4
    size = struct.unpack(">I", data[start : start + 4])[0]
    trak = data[start : start + size].replace(b"avc1", b"jpeg")
    is_sound = other == "sound"  # otherwise it isn't enabled
    trak = trak.replace(b"vide", b"soun") if is_sound else patched(trak, b"tkhd", 0, "I", 0)
    moov = struct.unpack(">I", data[data.index(b"moov") - 4 :][:4])[0]
    grown = patched(data[:start] + trak + data[start:], b"moov", -8, "I", moov + size)
    assert read(grown)[0].codec == "h264"


def test_an_object_that_is_replaced_between_two_requests_is_not_mixed() -> None:
    s3 = MemoryS3()
    s3.create_bucket(Bucket="b")
    put = s3.put_object(Bucket="b", Key="a.mp4", Body=moved(video(), {b"mdat": MEGABYTES}))
    reference = ImageReference("b", "a.mp4", etag=put["ETag"].strip('"'))
    for another in (video(), b"", moved(video(), {b"mdat": MEGABYTES + 1})):
        s3.put_object(Bucket="b", Key="a.mp4", Body=moved(video(), {b"mdat": MEGABYTES}))

        def replace(bucket: str, key: str, body: bytes = another) -> None:
            if s3.gets[1:]:
                s3.fault = None
                s3.put_object(Bucket=bucket, Key=key, Body=body)

        s3.gets.clear()
        s3.fault = replace
        with pytest.raises(InvalidImageError) as caught:
            read_video(store_on(s3), reference)
        assert caught.value.code == "object_replaced"


def test_a_silent_s3_is_asked_again_later() -> None:
    s3 = MemoryS3()
    s3.create_bucket(Bucket="b")
    put = s3.put_object(Bucket="b", Key="a.mp4", Body=video())

    def fail(bucket: str, key: str) -> None:
        raise client_error("SlowDown", 503)

    s3.fault = fail
    with pytest.raises(RetriableError):
        read_video(store_on(s3), ImageReference("b", "a.mp4", etag=put["ETag"].strip('"')))


def outcome(data: bytes) -> Video | str:
    """Return the facts of a file, or the code of its refusal. Any other error is a bug."""
    try:
        return read(data)[0]
    except InvalidImageError as error:
        return error.code


FILES = [video(), video(flags=FRAGMENTED, frames=60), video(container="mov")]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FILES), st.data())
def test_a_truncated_file_has_the_same_facts_or_none(data: bytes, drawn: st.DataObject) -> None:
    whole, _ = read(data)
    cut = data[: drawn.draw(st.integers(0, len(data) - 1))]
    found = outcome(cut)
    if isinstance(found, Video):
        assert (found.codec, found.width_px) == (whole.codec, whole.width_px)
    else:
        assert found in {"corrupt_video", "not_a_video", "empty_file"}


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(FILES),
    st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True),
            st.one_of(
                st.binary(min_size=1, max_size=8),
                st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\0\0\0\1", b"\x7f\xff\xff\xff"]),
            ),
        ),
        min_size=1,
        max_size=5,
    ),
)
def test_a_damaged_file_is_read_or_refused(data: bytes, damage: list[tuple[float, bytes]]) -> None:
    damaged = bytearray(data)
    for share, patch in damage:
        at = int(share * len(data))
        damaged[at : at + len(patch)] = patch
    outcome(bytes(damaged))


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.binary(max_size=100),
        lambda inside: st.lists(
            st.tuples(
                st.sampled_from(
                    b"moov trak mdia minf stbl stsd stts stsz mdhd mvhd tkhd hdlr mvex mehd trex "
                    b"moof traf tfhd tfdt trun mfra tfra sidx mdat".split()
                ),
                inside,
                st.none() | st.integers(0, 2**32 - 1),
            ).map(lambda made: box(made[0], made[1], size=made[2])),
            max_size=6,
        ).map(b"".join),
        max_leaves=30,
    )
)
def test_any_boxes_are_read_or_refused(inside: bytes) -> None:
    for data in (inside, box(b"moov", inside)):
        outcome(box(b"ftyp", b"isom") + data)
