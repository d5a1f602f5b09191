"""Settings for videos that detectors of images process frame by frame."""

import hashlib
import importlib.util
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from retinue_sdk import ConfigurationError


class VideoSampling(BaseModel):
    """Which frames of a video a detector receives, and how its findings are joined.

    It belongs to the fingerprint of the detector's runs on videos.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    sample: Literal["frames", "keyframes"] = "frames"
    """Which frames may be taken. Key frames can be decoded without the frames between them."""

    every_ms: int = Field(default=1_000, ge=1, le=3_600_000)
    """Sample the first frame of each interval of this length, in milliseconds."""

    max_frames: int = Field(default=10_000, ge=1, le=1_000_000)
    """Maximum number of frames. Longer videos get longer intervals."""

    max_side_px: int = Field(default=1_280, ge=64, le=8_192)
    """Maximum width and height of a frame in pixels. Larger frames are scaled down."""

    track: bool = False
    """Whether to follow each object, and to number it. Needs ``retinue-workers[tracking]``."""

    def fingerprint(self, detector: str) -> str:
        """Return the fingerprint of a detector's runs on videos.

        Args:
            detector: The fingerprint of its runs on images.
        """
        text = f"{detector} {self.model_dump_json()}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def check_decoder(videos: Mapping[str, VideoSampling]) -> None:
    """Raise if videos can't be decoded, or objects can't be followed, without another package.

    Raises:
        ConfigurationError: The message names the extra.
    """
    tracks = any(sampling.track for sampling in videos.values())
    for is_needed, module, extra in ((videos, "av", "video"), (tracks, "norfair", "tracking")):
        if is_needed and importlib.util.find_spec(module) is None:
            raise ConfigurationError(
                f"RETINUE_VIDEO needs the package {module}: install retinue-workers[{extra}], "
                "which the container image doesn't have"
            )
