"""Write detectors for Retinue: hooks, the Detector base class, value types and errors."""

from typing import TYPE_CHECKING

from retinue_sdk.box import BoundingBox
from retinue_sdk.detection import Detection, Findings
from retinue_sdk.detector import AnyDetector, Capabilities, Detector, Input, Result
from retinue_sdk.errors import (
    ConfigurationError,
    DetectorError,
    DetectorNotReadyError,
    InvalidImageError,
    RetinueError,
    RetriableError,
)
from retinue_sdk.future_detector import FutureDetector
from retinue_sdk.hookspecs import hookimpl
from retinue_sdk.image import Image
from retinue_sdk.json_value import Json
from retinue_sdk.limits import ImageLimits
from retinue_sdk.managed_model import COSTLY, ManagedModel, ModelState, ModelStatus
from retinue_sdk.options import DetectorOptions, Operational
from retinue_sdk.pacing import LocalPacer, Paced, Pacer, Turn
from retinue_sdk.price import Price, Tier
from retinue_sdk.reference import ImageReference
from retinue_sdk.run import Run
from retinue_sdk.stand_in import StandIn

if TYPE_CHECKING:
    from retinue_sdk.decode import Pixels
else:

    def __getattr__(name: str) -> object:
        """``Pixels``, which needs NumPy, is there for whoever asks."""
        if name == "Pixels":
            from retinue_sdk.decode import Pixels

            return Pixels
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "COSTLY",
    "AnyDetector",
    "BoundingBox",
    "Capabilities",
    "ConfigurationError",
    "Detection",
    "Detector",
    "DetectorError",
    "DetectorNotReadyError",
    "DetectorOptions",
    "Findings",
    "FutureDetector",
    "Image",
    "ImageLimits",
    "ImageReference",
    "Input",
    "InvalidImageError",
    "Json",
    "LocalPacer",
    "ManagedModel",
    "ModelState",
    "ModelStatus",
    "Operational",
    "Paced",
    "Pacer",
    "Pixels",
    "Price",
    "Result",
    "RetinueError",
    "RetriableError",
    "Run",
    "StandIn",
    "Tier",
    "Turn",
    "hookimpl",
]
