"""Export appearances in videos, with times: WebVTT, JSON like COCO's for videos, and CVAT."""

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO
from xml.sax.saxutils import escape, quoteattr

from retinue_history.analysis.selection import Selection
from retinue_history.db.snapshot import Snapshot
from retinue_sdk import BoundingBox, ConfigurationError, DetectorError

from retinue_cli.data.export.boxes import visible_px
from retinue_cli.data.export.categories import Categories
from retinue_cli.data.export.images import SelectedDetection, SelectedImage, selected_images
from retinue_cli.data.export.outcome import Advance, Written

MIN_CUE_MS = 500
"""Minimum duration of a caption, in milliseconds, so that a moment can be read."""

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def write_webvtt(
    snapshot: Snapshot, selection: Selection, file: BinaryIO, advance: Advance
) -> Written:
    """Write captions of one video: a cue for each appearance, in the order of their starts.

    Raises:
        ConfigurationError: No video is selected, or several are.
        HistoryUnavailableError: The database no longer answers.
        OSError: The file can't be written.
    """
    written = Written()
    video = _only_video(snapshot, selection, written, "WebVTT")
    file.write(f"WEBVTT\n\nNOTE {_one_line(video.reference.uri)}\n".encode())
    for one in _by_start(video, written):
        start_ms, end_ms = one.start_ms or 0, one.end_ms or 0
        times = f"{_clock(start_ms)} --> {_clock(max(end_ms, start_ms + MIN_CUE_MS))}"
        track = "" if one.track is None else f" #{one.track}"
        text = escape(f"{_one_line(one.label)}{track} {one.confidence:.0%}")
        file.write(f"\n{times}\n{text}\n".encode())
        written.detections += 1
        advance(1)
    written.images = 1
    return written


def write_coco_video(
    snapshot: Snapshot,
    selection: Selection,
    file: BinaryIO,
    advance: Advance,
    *,
    categories: Categories,
) -> Written:
    """Write videos, annotations and categories, in the manner of COCO.

    An annotation is an appearance. ``bbox`` is where it is most certain, and ``path`` lists
    positions in time: ``[milliseconds, left, top, width, height]``. Boxes are in pixels of the
    video as displayed, or ``null``. ``track_id`` is the same for appearances of one object.

    Raises:
        HistoryUnavailableError: The database no longer answers.
        OSError: The file can't be written.
    """
    written = Written(images=0)
    videos: list[dict[str, Any]] = []
    file.write(b'{"info":{"description":"exported from a Retinue history"},"annotations":[')
    for video in _videos(snapshot, selection, written):
        advance(max(len(video.detections), 1))
        if video.size_px is None:
            written.left_out["video of unknown size"] += 1
            continue
        videos.append(_video_entry(len(videos) + 1, video))
        before = written.detections
        for one in _by_start(video, written):
            written.detections += 1
            category = categories.number(one.kind, one.label)
            entry = _appearance(written.detections, len(videos), category, one, video.size_px)
            file.write(f"{'' if written.detections == 1 else ','}\n{_JSON.encode(entry)}".encode())
        written.empty += written.detections == before
    kinds = [{"id": one.number, "name": one.name, "supercategory": one.group} for one in categories]
    rest = f'\n],"videos":{_JSON.encode(videos)},"categories":{_JSON.encode(kinds)}}}\n'
    file.write(rest.encode())
    written.images = len(videos)
    return written


def write_cvat(
    snapshot: Snapshot,
    selection: Selection,
    file: BinaryIO,
    advance: Advance,
    *,
    read_times_ms: Callable[[SelectedImage], Sequence[int]],
) -> Written:
    """Write the tracks of one video in CVAT's XML for videos, version 1.1.

    A track is an appearance with a box. Its key frames are the positions of its path, and CVAT
    interpolates between them. CVAT numbers frames, so the times of frames are read from the file.
    If that is impossible, times are multiplied by the mean frame rate, with a warning.

    Args:
        snapshot: The history.
        selection: The selection, with one video.
        file: The file to write.
        advance: Called with the number of detections.
        read_times_ms: Returns the time of each frame of a video, in order.

    Raises:
        ConfigurationError: No video is selected, or several are, or neither the times of its
            frames nor its frame rate are known.
        HistoryUnavailableError: The database no longer answers.
        OSError: The file can't be written.
    """
    written = Written()
    video = _only_video(snapshot, selection, written, "CVAT")
    if video.size_px is None:
        raise ConfigurationError(f"{video.reference.uri}: its size must be known to place boxes")
    frames, frame_at = _frame_numbers(video, read_times_ms, written)
    width, height = video.size_px
    file.write(
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        f"<meta><task><name>{escape(_one_line(video.reference.key))}</name><size>{frames}</size>"
        f"<mode>interpolation</mode><original_size><width>{width}</width>"
        f"<height>{height}</height></original_size></task></meta>\n".encode()
    )
    for one in _by_start(video, written):
        advance(1)
        positions = _positions(one, video.size_px)
        if not positions:
            written.left_out["detection without a box in the picture"] += 1
            continue
        by_frame = {min(frames - 1, frame_at(time_ms)): box for time_ms, box in positions}
        last = max(by_frame)
        label = quoteattr(_one_line(one.label))
        boxes = [_cvat_box(frame, box, outside=False) for frame, box in sorted(by_frame.items())]
        if last + 1 < frames:
            boxes.append(_cvat_box(last + 1, by_frame[last], outside=True))
        file.write(
            f'<track id="{written.detections}" label={label} source="auto">\n'
            f"{''.join(boxes)}</track>\n".encode()
        )
        written.detections += 1
    file.write(b"</annotations>\n")
    written.images = 1
    return written


def _frame_numbers(
    video: SelectedImage,
    read_times_ms: Callable[[SelectedImage], Sequence[int]],
    written: Written,
) -> tuple[int, Callable[[int], int]]:
    """Return the number of frames, and the function from a time to the nearest frame's number.

    Raises:
        ConfigurationError: Neither the times of the frames nor the frame rate are known.
    """
    try:
        times_ms = read_times_ms(video)
    except (ConfigurationError, DetectorError, OSError) as error:
        rate, duration_ms = video.frame_rate, video.duration_ms
        if rate is None or duration_ms is None:
            raise ConfigurationError(
                f"frames can't be numbered: the frame rate of {video.reference.uri} isn't known, "
                f"and the file can't be read: {error}"
            ) from error
        written.warnings.append(
            f"frame numbers are estimates from {rate:.6g} frames a second, and wrong if the rate "
            f"varies, because the times of frames can't be read: {error}"
        )
        count = max(1, round(duration_ms * rate / 1_000))
        return count, lambda time_ms: round(time_ms * rate / 1_000)

    def nearest(time_ms: int) -> int:
        after = bisect_left(times_ms, time_ms)
        if after == len(times_ms):
            return after - 1
        if after and time_ms - times_ms[after - 1] < times_ms[after] - time_ms:
            return after - 1
        return after

    return len(times_ms), nearest


def _videos(snapshot: Snapshot, selection: Selection, written: Written) -> Iterator[SelectedImage]:
    for image in selected_images(snapshot, selection):
        if image.is_video:
            yield image
        else:
            written.left_out["image without times"] += 1


def _only_video(
    snapshot: Snapshot, selection: Selection, written: Written, name: str
) -> SelectedImage:
    """Return the only selected video.

    Raises:
        ConfigurationError: There is none, or there are several.
    """
    videos = _videos(snapshot, selection, written)
    video = next(videos, None)
    if video is None:
        raise ConfigurationError(
            f"no video is selected: {name} describes one; choose it by --image"
        )
    if next(videos, None) is not None:
        raise ConfigurationError(
            f"several videos are selected: {name} describes one; choose it by --image"
        )
    return video


def _by_start(video: SelectedImage, written: Written) -> list[SelectedDetection]:
    """Return the appearances by start."""
    found = [one for one in video.detections if one.start_ms is not None]
    without = len(video.detections) - len(found)
    written.left_out["detection without a time"] += without
    return sorted(found, key=lambda one: (one.start_ms or 0, one.end_ms or 0, one.label))


def _video_entry(number: int, video: SelectedImage) -> dict[str, Any]:
    assert video.size_px is not None  # noqa: S101 - checked by the caller
    return {
        "id": number,
        "file_name": video.reference.key,
        "width": video.size_px[0],
        "height": video.size_px[1],
        "duration_ms": video.duration_ms,
        "frame_rate": video.frame_rate,
        "coco_url": video.reference.uri,
        "retinue_image_id": str(video.image_id),
    }


def _appearance(
    number: int, video: int, category: int, one: SelectedDetection, size_px: tuple[int, int]
) -> dict[str, Any]:
    box = None if one.box is None else visible_px(one.box, size_px)
    return {
        "id": number,
        "video_id": video,
        "category_id": category,
        "track_id": one.track,
        "start_ms": one.start_ms,
        "end_ms": one.end_ms,
        "bbox": box,
        "score": one.confidence,
        "path": [[time_ms, *place] for time_ms, place in _positions(one, size_px)],
        "retinue_run_id": one.run_id,
        "retinue_detector": one.detector,
    }


def _positions(one: SelectedDetection, size_px: tuple[int, int]) -> list[tuple[int, list[float]]]:
    """Return an appearance's visible positions in pixels, each with its time in milliseconds."""
    places: list[tuple[int, BoundingBox]] = []
    path = one.attributes.get("path")
    try:
        places = [(int(time_ms), BoundingBox(*edges)) for time_ms, *edges in path or ()]
    except (TypeError, ValueError):  # a detector's own attribute of this name
        places = []
    if not places and one.box is not None and one.start_ms is not None and one.end_ms is not None:
        places = [(one.start_ms, one.box), (one.end_ms, one.box)]
    return [
        (time_ms, pixels)
        for time_ms, box in places
        if (pixels := visible_px(box, size_px)) is not None
    ]


def _cvat_box(frame: int, box: list[float], *, outside: bool) -> str:
    left, top, width, height = box
    return (
        f'<box frame="{frame}" keyframe="1" outside="{outside:d}" occluded="0" z_order="0" '
        f'xtl="{left:.2f}" ytl="{top:.2f}" xbr="{left + width:.2f}" ybr="{top + height:.2f}"/>\n'
    )


def _clock(time_ms: int) -> str:
    """Return a time as WebVTT writes it."""
    seconds, rest = divmod(time_ms, 1_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{rest:03}"


def _one_line(text: str) -> str:
    """Return a text without control characters: a line break ends a cue, and XML allows none."""
    return "".join(char if char.isprintable() else " " for char in text)
