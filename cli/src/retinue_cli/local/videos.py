"""Videos of ``retinue run``: their detectors, and pictures of appearances."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from retinue_sdk import AnyDetector, Detection, Input, JobDetector
from retinue_sdk.limits import MAX_PX
from retinue_sdk.plugins.manager import plugin_errors
from retinue_workers.settings.video import VideoSampling
from retinue_workers.video.reader import VideoDecoder

from retinue_cli.local.report import PhotographResult
from retinue_cli.output.draw import paint_pixels

MAX_PICTURES = 50
"""Maximum number of pictures of one video: those of the most certain appearances."""

TIMEOUT_SECONDS = 60.0
"""Time limit for decoding up to a picture."""


def default_sampling(detectors: Sequence[AnyDetector]) -> dict[str, VideoSampling]:
    """Return the detectors that process videos by default: all that take pixels."""
    sampled = {}
    for each in detectors:
        with plugin_errors(each):
            if not isinstance(each, JobDetector) and each.capabilities.input is Input.PIXELS:
                sampled[each.name] = VideoSampling()
    return sampled


def draw_video(
    result: PhotographResult,
    videos: Mapping[str, VideoSampling],
    folder: Path,
    check: Callable[[], None],
) -> int:
    """Draw the best frame of each appearance, and return the number of pictures.

    Each frame is drawn once, with all appearances that are most certain in it. Detectors with the
    same sampling share the decoding.

    Args:
        result: The video with its findings.
        videos: The sampling of each detector.
        folder: The folder of the pictures. Pictures of earlier runs are replaced.
        check: Called for each frame. It raises to interrupt.

    Raises:
        DetectorError: The video can't be decoded.
        OSError: A picture can't be written.
    """
    found: dict[VideoSampling, list[Detection]] = defaultdict(list)
    for outcome in result.outcomes:
        if outcome.detector in videos:
            found[videos[outcome.detector]] += outcome.findings
    for old in folder.glob("*.jpg"):
        old.unlink()
    with suppress(OSError):  # absent, or with other files
        folder.rmdir()
    number = 0
    with closing(VideoDecoder(max_px=MAX_PX, timeout_seconds=TIMEOUT_SECONDS)) as decoder:
        for sampling, findings in found.items():
            best = sorted(findings, key=lambda one: -one.confidence)
            by_time: dict[int, list[Detection]] = defaultdict(list)
            for finding in best:
                time_ms = finding.attributes.get("best_ms")
                if isinstance(time_ms, int) and (
                    time_ms in by_time or number + len(by_time) < MAX_PICTURES
                ):
                    by_time[time_ms].append(finding)
            if by_time:
                number += _draw_frames(
                    decoder, result.photograph.path, sampling, by_time, folder, check
                )
    return number


def _draw_frames(
    decoder: VideoDecoder,
    video: Path,
    sampling: VideoSampling,
    by_time: Mapping[int, Sequence[Detection]],
    folder: Path,
    check: Callable[[], None],
) -> int:
    number, last_ms = 0, max(by_time)
    with video.open("rb") as file, closing(decoder.open(file, sampling)) as reader:
        while (frame := reader.read()) is not None and frame.time_ms <= last_ms:
            check()
            if findings := by_time.get(frame.time_ms):
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / f"{frame.time_ms / 1_000:09.3f}.jpg"
                paint_pixels(frame.pixels, findings).save(path, "JPEG", quality=90)
                number += 1
    return number
