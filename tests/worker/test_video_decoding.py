"""Frames of videos: sampled, upright, on time, and never a hung worker."""

import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fakes.videos import BIKES, CARPHONE, corner_names, corners, encoded, number_of, numbered
from hypothesis import given
from hypothesis import strategies as st
from retinue_sdk import ImageLimits, InvalidImageError, RetriableError
from retinue_workers.intake.video_container import announced_bytes
from retinue_workers.settings.video import VideoSampling
from retinue_workers.video.cuts import Cuts
from retinue_workers.video.decoder import VideoFile
from retinue_workers.video.reader import VideoDecoder, VideoReader
from retinue_workers.video.sampler import Sampler

ALL = VideoSampling(every_ms=1)
PHOTOGRAPH = Path(__file__).parents[2] / "docs" / "astronaut.jpg"
UNIT = 65_536
"""One, in the fixed point of display matrices."""


def opened(data: bytes, sampling: VideoSampling = ALL, **limits: int) -> VideoFile:
    return VideoFile(BytesIO(data), sampling, ImageLimits(**limits))


def times(data: bytes, sampling: VideoSampling = ALL) -> list[int]:
    return [frame.time_ms for frame in opened(data, sampling).frames()]


@pytest.fixture(scope="module")
def noise() -> Sequence[Any]:
    """Return two seconds of frames that can't be compressed."""
    return np.random.default_rng(1).integers(0, 255, (50, 64, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("a", "b", "c", "d", "quarters", "degrees"),
    [
        (1, 0, 0, 1, "rgbw", 0),
        (-1, 0, 0, 1, "grwb", 0),
        (-1, 0, 0, -1, "wbgr", 180),
        (1, 0, 0, -1, "bwrg", 180),
        (0, 1, 1, 0, "rbgw", 270),
        (0, 1, -1, 0, "brwg", 90),
        (0, -1, -1, 0, "wgbr", 90),
        (0, -1, 1, 0, "gwrb", 270),
    ],
)
def test_a_video_is_turned_and_mirrored_as_players_show_it(
    a: int, b: int, c: int, d: int, quarters: str, degrees: int
) -> None:
    matrix = (a * UNIT, b * UNIT, 0, c * UNIT, d * UNIT, 0, 0, 0, 1 << 30)
    video = opened(encoded([corners(64, 48)] * 2, matrix=matrix))
    size = (48, 64) if a == 0 else (64, 48)
    assert (video.facts.width_px, video.facts.height_px) == size
    assert video.facts.rotation_degrees == degrees
    frames = [frame.pixels for frame in video.frames()]
    assert [corner_names(pixels) for pixels in frames] == [quarters] * 2
    assert {pixels.shape for pixels in frames} == {(size[1], size[0], 3)}


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "container", "name"),
    [
        ("libx264", "yuv420p", "mov", "h264"),
        ("libx265", "yuv420p", "mp4", "hevc"),
        ("libx265", "yuv420p10le", "matroska", "hevc"),
        ("libvpx-vp9", "yuv420p", "webm", "vp9"),
        ("mpeg4", "yuv420p", "avi", "mpeg4"),
        ("mpeg4", "yuv420p", "3gp", "mpeg4"),
        ("libx264", "yuv420p", "mpegts", "h264"),
        ("mpeg2video", "yuv420p", "mpeg", "mpeg2video"),
        ("libsvtav1", "yuv420p", "matroska", "av1"),
    ],
)
def test_codecs_and_containers(codec: str, pix_fmt: str, container: str, name: str) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {"g": "10"}
    data = encoded(
        [corners()] * 5, codec=codec, pix_fmt=pix_fmt, container=container, options=options
    )
    video = opened(data)
    frames = list(video.frames())
    assert video.facts.codec == name
    assert [frame.time_ms for frame in frames] == [0, 40, 80, 120, 160]
    assert {corner_names(frame.pixels) for frame in frames} == {"rgbw"}
    assert not video.is_truncated


def test_pixels_that_are_not_square_become_square() -> None:
    video = opened(encoded([corners(64, 48)], aspect=Fraction(3, 2)))
    assert (video.facts.width_px, video.facts.height_px) == (96, 48)
    assert [frame.pixels.shape for frame in video.frames()] == [(48, 96, 3)]
    assert opened(CARPHONE.read_bytes()).facts.width_px == 193  # 128:117


def test_large_frames_are_scaled_down() -> None:
    data = encoded([np.zeros((4_320, 7_680, 3), np.uint8)])
    video = opened(data, VideoSampling())
    assert (video.facts.width_px, video.facts.height_px) == (7_680, 4_320)
    assert [frame.pixels.shape for frame in video.frames()] == [(720, 1_280, 3)]
    with pytest.raises(InvalidImageError, match=r"7,680 × 4,320 pixels") as error:
        opened(data, max_px=7_680 * 4_319)
    assert error.value.code == "too_many_pixels"


def test_times_are_those_of_the_frames_and_not_their_numbers() -> None:
    moments = [0, 10, 500, 510, 3_000]
    assert times(encoded([corners()] * 5, times_ms=moments)) == moments
    late = encoded([corners()] * 5, times_ms=[7_000 + one for one in moments], container="mpegts")
    assert times(late) == moments


@pytest.mark.parametrize("options", [{"g": "20"}, {"g": "20", "bf": "3", "b_strategy": "0"}])
def test_key_frames_alone_have_their_own_times(options: dict[str, str]) -> None:
    pictures = [corners(64, 48) for _ in range(60)]
    for index, picture in enumerate(pictures):
        picture[:, index : index + 4] = 0
    data = encoded(pictures, options=options)
    with av.open(BytesIO(data)) as container:
        keys = [frame for frame in container.decode(video=0) if frame.key_frame]
    sampling = VideoSampling(sample="keyframes", every_ms=1)
    assert times(data, sampling) == [round(frame.time * 1_000) for frame in keys]
    assert 2 < len(keys) < 10
    assert not opened(data, sampling).is_truncated
    assert times(data) == [40 * index for index in range(60)]


@pytest.mark.parametrize(
    ("container", "codec"), [("mpegts", "libx264"), ("mpeg", "mpeg2video")], ids=str
)
def test_files_that_were_appended_to_each_other(
    decoder: VideoDecoder, container: str, codec: str
) -> None:
    """The clock starts again in the second part."""
    data = encoded([corners()] * 50, container=container, codec=codec)
    once, twice = times(data), times(data * 2)
    assert twice[:50] == once
    assert twice[50:] == [pytest.approx(2_000 + one, abs=80) for one in once]
    assert times_of(decoder, data * 2) == twice


B_FRAMES = {"bf": "3", "g": "30", "preset": "fast"}
CODED = [
    ("mp4", "libx264", B_FRAMES),
    ("matroska", "libx264", B_FRAMES | {"x264-params": "open-gop=1"}),
    ("webm", "libvpx", {"g": "30"}),
    ("mpegts", "libx264", B_FRAMES),
    ("mpeg", "mpeg2video", {"bf": "2", "g": "12"}),
    ("avi", "libx264", B_FRAMES),
    ("avi", "libx264", {"bf": "0", "g": "30"}),
    ("avi", "mpeg4", {"bf": "2", "g": "12"}),
    ("avi", "mjpeg", {}),
]


def numbers(data: bytes, sampling: VideoSampling = ALL) -> list[tuple[int, int]]:
    return [(one.time_ms, number_of(one.pixels)) for one in opened(data, sampling).frames()]


@pytest.mark.parametrize(("container", "codec", "options"), CODED)
def test_each_frame_has_its_own_time(
    decoder: VideoDecoder, container: str, codec: str, options: dict[str, str]
) -> None:
    """AVI has no times of display, and FFmpeg's own reading is wrong with B-frames."""
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    pictures = [numbered(index) for index in range(100)]
    data = encoded(pictures, codec=codec, container=container, options=options, pix_fmt=pix_fmt)
    assert numbers(data) == [(40 * index, index) for index in range(100)]
    assert times_of(decoder, data) == [40 * index for index in range(100)]
    keys = numbers(data, VideoSampling(sample="keyframes", every_ms=1))
    assert keys == [(40 * index, index) for _, index in keys]
    assert len(keys) > 1


@pytest.mark.parametrize(("container", "codec", "options"), CODED)
def test_a_still_is_the_frame_at_its_time(
    container: str, codec: str, options: dict[str, str]
) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    pictures = [numbered(index) for index in range(100)]
    data = encoded(pictures, codec=codec, container=container, options=options, pix_fmt=pix_fmt)
    indices = [0, 1, *range(2, 100, 7), 10, 11, 29, 31, 99]
    assert [number_of(opened(data).still(40 * index)) for index in indices] == indices
    assert number_of(opened(data).still(9_000)) == 99


def test_a_still_of_an_avi_without_its_index() -> None:
    data = encoded([numbered(index) for index in range(60)], container="avi", options=B_FRAMES)
    cut = data[: data.rindex(b"idx1")]
    assert [number_of(opened(cut).still(40 * index)) for index in range(60)] == [*range(60)]


def test_a_still_of_a_large_mpeg_file_is_found_by_its_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("retinue_workers.video.decoder.MAX_SCANNED_BYTES", 0)
    data = encoded([numbered(index) for index in range(200)], container="mpegts", options=B_FRAMES)
    indices = [0, 1, *range(2, 200, 7), 199]
    assert [number_of(opened(data).still(40 * index)) for index in indices] == indices


@pytest.mark.parametrize(("container", "codec"), [("mpegts", "libx264"), ("mpeg", "mpeg2video")])
def test_stills_of_files_that_were_appended_to_each_other(container: str, codec: str) -> None:
    first, second = (
        encoded(
            [numbered(start + index) for index in range(50)],
            container=container,
            codec=codec,
            options={"bf": "2", "g": "12"},
        )
        for start in (0, 50)
    )
    data = first + second
    expected = numbers(data)
    assert [number for _, number in expected] == [*range(100)]
    stills = [number_of(opened(data).still(time_ms)) for time_ms, _ in expected[::3]]
    assert stills == [*range(0, 100, 3)]


def test_no_still_without_a_key_frame_in_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinue_workers.video.decoder.MAX_STILL_FRAMES", 50)
    data = encoded(
        [numbered(index) for index in range(100)], options={"g": "100", "sc_threshold": "0"}
    )
    assert number_of(opened(data).still(40 * 50)) == 50
    with pytest.raises(InvalidImageError, match="no key frame in 50 frames"):
        opened(data).still(40 * 60)


def test_key_frames_of_a_video_that_begins_within_a_scene() -> None:
    """A cut without encoding leaves the key frame in the file, and an edit list hides it."""
    whole = BytesIO(encoded([corners()] * 60, options={"g": "40"}))
    part = BytesIO()
    with av.open(whole) as container, av.open(part, "w", format="mp4") as to:
        stream = to.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            if packet.size:
                packet.pts -= round(1 / packet.time_base)
                packet.dts -= round(1 / packet.time_base)
                packet.stream = stream
                to.mux(packet)
    assert times(part.getvalue())[0] == 0
    found = times(part.getvalue(), VideoSampling(sample="keyframes", every_ms=1))
    assert found == [0, 600]  # the first displayed frame stands for its key frame


def test_another_scene_is_noticed_and_movement_is_not() -> None:
    """``BIKES`` cuts at 1.20, 3.04, 5.48, 7.48 and 9.68 seconds."""
    frames = opened(BIKES.read_bytes(), VideoSampling()).frames()
    after = [frame.time_ms for frame in frames if frame.is_after_cut]
    assert after == [2_000, 4_000, 6_000, 8_000]


@pytest.mark.parametrize(
    "pix_fmt", ["yuv420p", "yuv444p12le", "gray", "gray16le", "bgr0", "gbrp", "yuva420p", "nv12"]
)
def test_a_cut_is_noticed_in_any_format(pix_fmt: str) -> None:
    cuts = Cuts()
    for level, is_cut in ((60, False), (60, False), (120, True), (120, False), (125, False)):
        pixels = np.full((48, 64, 3), level, np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=pix_fmt)
        assert cuts.is_cut(frame) is is_cut


def test_thousands_of_frames_in_a_second() -> None:
    frame = av.VideoFrame.from_ndarray(corners(16, 16), "rgb24").reformat(format="yuvj420p")
    file = BytesIO()
    with av.open(file, "w", format="matroska") as to:
        stream: Any = to.add_stream("mjpeg", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuvj420p"
        picture = bytes(stream.encode(frame)[0])
        for index in range(20_000):
            packet = av.Packet(picture)
            packet.stream, packet.time_base = stream, Fraction(1, 20_000)
            packet.pts = packet.dts = index
            packet.is_keyframe = True
            to.mux(packet)
    assert times(file.getvalue(), VideoSampling(every_ms=300)) == [0, 300, 600, 900]


def truncated(data: bytes) -> bytes:
    return data[: len(data) * 3 // 5]


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_what_is_left_of_a_truncated_file(noise: Any, container: str) -> None:
    frames = np.concatenate([noise] * 3)  # 6 seconds
    front = {"moov_size": "30000"} if container == "mp4" else {}
    video = opened(truncated(encoded(frames, container=container, muxing=front)))
    found = [frame.time_ms for frame in video.frames()]
    assert found == [index * 40 for index in range(len(found))]
    assert 70 < len(found) < 110
    assert video.is_truncated


@pytest.mark.parametrize(
    ("container", "codec"), [("matroska", "libx264"), ("webm", "libvpx"), ("avi", "mpeg4")]
)
def test_a_short_file_without_its_end_is_truncated(noise: Any, container: str, codec: str) -> None:
    data = encoded(noise[:25], container=container, codec=codec)  # less than MISSING_MS
    for number, is_truncated in ((len(data), False), (len(data) * 4 // 5, True)):
        video = opened(data[:number])
        assert list(video.frames())
        assert video.is_truncated == is_truncated


def test_a_sound_that_lasts_longer_truncates_nothing(noise: Any) -> None:
    file = BytesIO()
    with (
        av.open(BytesIO(encoded(noise))) as pictures,
        av.open(BytesIO(sound(seconds=10))) as sounds,
        av.open(file, "w", format="matroska") as to,
    ):
        for container in (pictures, sounds):
            to.add_stream_from_template(container.streams[0])
        for stream, container in zip(to.streams, (pictures, sounds), strict=True):
            for packet in container.demux():
                if packet.size:
                    packet.stream = stream
                    to.mux(packet)
    video = opened(file.getvalue())
    assert len(list(video.frames())) == 50
    assert video.facts.duration_ms == pytest.approx(10_000, abs=200)
    assert not video.is_truncated


@given(rest=st.binary(max_size=30))
def test_any_first_bytes_announce_a_length(rest: bytes) -> None:
    assert announced_bytes(b"\x1a\x45\xdf\xa3" + rest) >= 0


def test_damage_in_the_middle(noise: Any) -> None:
    data = bytearray(encoded(noise))
    data[len(data) // 2 : len(data) // 2 + 5_000] = b"\xff" * 5_000
    video = opened(bytes(data))
    assert 30 < len(list(video.frames())) <= 50
    assert video.is_truncated


def sound(seconds: int = 1) -> bytes:
    file = BytesIO()
    with av.open(file, "w", format="mp4") as to:
        stream: Any = to.add_stream("aac", rate=44_100)
        samples = np.zeros((1, 44_100 * seconds), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
        frame.rate = 44_100
        to.mux([*stream.encode(frame), *stream.encode()])
    return file.getvalue()


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"\0" * 10_000, "not_a_video"),
        (PLAYLIST, "not_a_video"),
        (b"ffconcat version 1.0\nfile 'https://example.com/a.mp4'\n", "not_a_video"),
        (b"https://example.com/a.mp4", "not_a_video"),
        (PHOTOGRAPH.read_bytes(), "not_a_video"),
        (truncated(BIKES.read_bytes()), "corrupt_video"),  # its header is at its end
        (BIKES.read_bytes()[:100], "corrupt_video"),
        (b"\x1a\x45\xdf\xa3" + b"\xff" * 5_000, "corrupt_video"),
        (sound(), "no_video_track"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_video(data: bytes, code: str) -> None:
    with pytest.raises(InvalidImageError) as error:
        list(opened(data).frames())
    assert error.value.code == code


def test_a_file_that_ends_in_its_header_is_no_fault_of_a_disk(noise: Any) -> None:
    with pytest.raises(InvalidImageError, match="ends within its header"):
        opened(encoded(noise, container="matroska")[:400])


def test_a_file_that_grows_counts_as_it_was(noise: Any) -> None:
    file = BytesIO(encoded(noise, container="mpegts"))
    video = VideoFile(file, ALL, ImageLimits())
    frames = video.frames()
    next(frames)
    with file.getbuffer() as buffer:
        more = bytes(buffer)
    place = file.tell()
    file.seek(0, 2)
    file.write(more)
    file.seek(place)
    assert len(list(frames)) == 49


@given(
    st.lists(st.integers(0, 20_000), max_size=50).map(sorted),
    st.integers(1, 5_000),
    st.integers(1, 20),
)
def test_each_interval_gives_its_first_frame(moments: list[int], every: int, most: int) -> None:
    sampling = VideoSampling(every_ms=every, max_frames=most)
    sampler = Sampler.of(sampling, moments[-1] if moments else None)
    taken = [moment for moment in moments if sampler.takes(moment)]
    firsts = {moment // sampler.interval_ms: moment for moment in reversed(moments)}
    assert taken == sorted(firsts.values())
    assert len(taken) <= most + 1
    assert sampler.interval_ms >= every


@pytest.fixture(scope="module")
def decoder() -> Iterator[VideoDecoder]:
    decoder = VideoDecoder(max_px=10**8, timeout_seconds=60)
    yield decoder
    decoder.close()


def test_a_process_decodes(decoder: VideoDecoder) -> None:
    with (
        BIKES.open("rb") as file,
        closing(decoder.open(file, VideoSampling(every_ms=4_000))) as video,
    ):
        assert video.facts["width_px"] == 640
        frames = [video.read() for _ in range(4)]
        assert [frame and frame.time_ms for frame in frames] == [0, 4_000, 8_000, None]
        expected = [frame.pixels for frame in opened(BIKES.read_bytes()).frames()][100]
        assert frames[1] is not None
        assert np.array_equal(frames[1].pixels, expected)
        assert not video.is_truncated


def test_a_process_decodes_the_next_video_unless_one_was_damaged(noise: Any) -> None:
    whole = encoded(noise[:5])
    with closing(VideoDecoder(max_px=10**8, timeout_seconds=60)) as decoder:
        damaged = encoded(noise, container="mpegts")[:-5_000]
        first, second, third, next_one = (
            read_whole(decoder, data) for data in (whole, whole, damaged, whole)
        )
        assert first == second == third != next_one
        os.kill(next_one or 0, signal.SIGKILL)
        assert read_whole(decoder, whole) != next_one
        with BIKES.open("rb") as file, closing(decoder.open(file, ALL)):
            assert read_whole(decoder, whole)  # at the same time


UNEVEN_MS = (0, 40, 80, 130, 600, 610, 1_000, 1_040, 2_500, 2_540)


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("mp4", "libx264"),
        ("mpegts", "libx264"),
        ("matroska", "libx265"),
        ("webm", "libvpx"),
        ("webm", "libvpx-vp9"),
        ("avi", "mpeg4"),
    ],
)
def test_times_of_frames_without_decoding(
    noise: Any, decoder: VideoDecoder, container: str, codec: str
) -> None:
    options = {
        "libx264": {"bf": "3", "preset": "medium"},
        "libvpx": {"auto-alt-ref": "1", "lag-in-frames": "8"},
    }.get(codec, {})
    times_ms = None if container == "avi" else UNEVEN_MS
    data = encoded(noise[:10], times_ms=times_ms, container=container, codec=codec, options=options)
    assert times_of(decoder, data) == times(data)


def test_times_of_frames_of_other_files(decoder: VideoDecoder) -> None:
    for file in (BIKES, CARPHONE):
        assert times_of(decoder, file.read_bytes()) == times(file.read_bytes())
    for data in (b"", PLAYLIST, BIKES.read_bytes()[:200]):
        with pytest.raises(InvalidImageError):
            times_of(decoder, data)
    assert len(times_of(decoder, BIKES.read_bytes())) == 250


def times_of(decoder: VideoDecoder, data: bytes) -> list[int]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return [*decoder.times_ms(file)]


def test_a_video_without_a_duration_has_no_more_frames_than_allowed(
    noise: Any, decoder: VideoDecoder
) -> None:
    """Browsers record WebM without a duration."""
    data = encoded(noise, container="webm", codec="libvpx", muxing={"live": "1"})
    sampling = VideoSampling(every_ms=1, max_frames=5)
    assert opened(data).facts.duration_ms is None
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        with closing(decoder.open(file, sampling)) as video:
            assert video.facts["duration_ms"] == 1_961
            found = [frame.time_ms for frame in iter(video.read, None)]
    assert found == [0, 400, 800, 1_200, 1_600]


def read_whole(decoder: VideoDecoder, data: bytes) -> int | None:
    """Read a video to its end, and return the id of the process that decoded it."""
    with tempfile.TemporaryFile() as file:  # without a name
        file.write(data)
        file.flush()
        with closing(decoder.open(file, ALL)) as video:
            read_rest(video)
            return video._process.process_id


def read_all(decoder: VideoDecoder, file: Path) -> None:
    with file.open("rb") as data, closing(decoder.open(data, ALL)) as video:
        read_rest(video)


def read_rest(video: VideoReader) -> None:
    while video.read():
        pass


def test_a_process_says_what_is_wrong(decoder: VideoDecoder, tmp_path: Path) -> None:
    file = tmp_path / "list.mp4"
    file.write_bytes(PLAYLIST)
    with pytest.raises(InvalidImageError, match="ffmpeg -i FILE") as error:
        read_all(decoder, file)
    assert error.value.code == "not_a_video"


@pytest.mark.parametrize(
    ("limits", "code", "text"),
    [
        ({"timeout_seconds": 0.0}, "decoder_timeout", "RETINUE_DETECTOR_TIMEOUT_SECONDS"),
        ({"max_memory_bytes": 2**20}, "decoder_crashed", "memory"),
    ],
)
def test_a_process_over_its_limits_is_ended(limits: Any, code: str, text: str) -> None:
    decoder = VideoDecoder(**{"max_px": 10**8, "timeout_seconds": 60.0, **limits})
    try:
        with pytest.raises(InvalidImageError, match=text) as error:
            read_all(decoder, BIKES)
        assert error.value.code == code
    finally:
        decoder.close()


def test_a_closed_decoder_ends_its_processes() -> None:
    decoder = VideoDecoder(max_px=10**8, timeout_seconds=60)
    with BIKES.open("rb") as file, closing(decoder.open(file, ALL)) as video:
        decoder.close()
        with pytest.raises(RetriableError, match="the worker stops"):
            read_rest(video)
    with pytest.raises(RetriableError, match="the worker stops"):
        read_all(decoder, BIKES)
