"""Write detectors for Retinue: hooks, the Detector base class, value types and errors."""

from typing import TYPE_CHECKING

from retinue_sdk.appearance import Appearance
from retinue_sdk.box import BoundingBox
from retinue_sdk.detection import Detection, Findings
from retinue_sdk.detector import (
    AnyDetector,
    AsyncDetector,
    Capabilities,
    Detector,
    ImageDetector,
    Input,
    JobDetector,
    Result,
)
from retinue_sdk.errors import (
    ConfigurationError,
    DetectorError,
    DetectorNotReadyError,
    InvalidImageError,
    JobLostError,
    ObjectRefusedError,
    RetinueError,
    RetriableError,
)
from retinue_sdk.hookspecs import hookimpl
from retinue_sdk.image import Image
from retinue_sdk.json_value import Json
from retinue_sdk.limits import ImageLimits
from retinue_sdk.local_service import LocalService
from retinue_sdk.managed_model import COSTLY, ManagedModel, ModelState, ModelStatus
from retinue_sdk.media import VIDEO_SUFFIXES, Media, media_of
from retinue_sdk.options import DetectorOptions, Operational
from retinue_sdk.price import Price, Tier
from retinue_sdk.rate_limits import LocalRateLimiter, Permit, RateLimited, RateLimiter, StoppedError
from retinue_sdk.reference import ImageReference
from retinue_sdk.run import Run
from retinue_sdk.s3_uri import S3Uri
from retinue_sdk.session import DetectorSession
from retinue_sdk.video import Video

if TYPE_CHECKING:
    from retinue_sdk.decode import Pixels
else:

    def __getattr__(name: str) -> object:
        """Import ``Pixels`` on first use, because it needs NumPy."""
        if name == "Pixels":
            from retinue_sdk.decode import Pixels

            return Pixels
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "COSTLY",
    "VIDEO_SUFFIXES",
    "AnyDetector",
    "Appearance",
    "AsyncDetector",
    "BoundingBox",
    "Capabilities",
    "ConfigurationError",
    "Detection",
    "Detector",
    "DetectorError",
    "DetectorNotReadyError",
    "DetectorOptions",
    "DetectorSession",
    "Findings",
    "Image",
    "ImageDetector",
    "ImageLimits",
    "ImageReference",
    "Input",
    "InvalidImageError",
    "JobDetector",
    "JobLostError",
    "Json",
    "LocalRateLimiter",
    "LocalService",
    "ManagedModel",
    "Media",
    "ModelState",
    "ModelStatus",
    "ObjectRefusedError",
    "Operational",
    "Permit",
    "Pixels",
    "Price",
    "RateLimited",
    "RateLimiter",
    "Result",
    "RetinueError",
    "RetriableError",
    "Run",
    "S3Uri",
    "StoppedError",
    "Tier",
    "Video",
    "hookimpl",
    "media_of",
]
