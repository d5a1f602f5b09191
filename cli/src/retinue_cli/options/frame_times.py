"""Find the time of each frame of a video."""

import tempfile
from collections.abc import Sequence
from contextlib import closing
from importlib.util import find_spec

from retinue_sdk import ConfigurationError
from retinue_sdk.limits import MAX_PX
from retinue_workers.settings.settings import Settings

from retinue_cli.data.export.images import SelectedImage
from retinue_cli.options.originals import ImageFacts, Originals

TIMEOUT_SECONDS = 300.0
"""Time limit for reading a video. Nothing is decoded, so this is enough for the largest."""


def frame_times_ms(settings: Settings, video: SelectedImage) -> Sequence[int]:
    """Return the time of each frame of a video in milliseconds after the first, in order.

    Fetches the video to a temporary file, and reads it in another process.

    Raises:
        ConfigurationError: The decoder isn't installed, or the file is gone, changed or too large.
        DetectorError: S3 doesn't return it, or it can't be read as a video.
        OSError: The disk is full.
    """
    from retinue_workers.video.reader import VideoDecoder

    if find_spec("av") is None:
        raise ConfigurationError(
            "the package av is missing: install retinue-workers[video] to read it"
        )
    facts = ImageFacts(video.reference, video.reference.etag, None, video.size_px)
    with (
        closing(Originals(settings)) as originals,
        tempfile.TemporaryFile(prefix="retinue-video-") as file,
        closing(VideoDecoder(max_px=MAX_PX, timeout_seconds=TIMEOUT_SECONDS)) as decoder,
    ):
        originals.copy_video(facts, file)
        return decoder.times_ms(file)
