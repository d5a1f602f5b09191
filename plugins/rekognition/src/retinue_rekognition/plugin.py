"""The plugin's entry point."""

from collections.abc import Callable
from typing import Any

from retinue_sdk import AnyDetector, hookimpl

from retinue_rekognition.celebrities import CelebrityDetector
from retinue_rekognition.custom_labels import CustomLabelsDetector
from retinue_rekognition.detector import RekognitionDetector
from retinue_rekognition.face_compare import FaceCompareDetector
from retinue_rekognition.face_search import FaceSearchDetector
from retinue_rekognition.faces import FaceDetector
from retinue_rekognition.labels import LabelDetector
from retinue_rekognition.moderation import ModerationDetector
from retinue_rekognition.protective_equipment import ProtectiveEquipmentDetector
from retinue_rekognition.text import TextDetector
from retinue_rekognition.video.celebrities import VideoCelebrityDetector
from retinue_rekognition.video.detector import VideoDetector
from retinue_rekognition.video.face_search import VideoFaceSearchDetector
from retinue_rekognition.video.faces import VideoFaceDetector
from retinue_rekognition.video.labels import VideoLabelDetector
from retinue_rekognition.video.moderation import VideoModerationDetector
from retinue_rekognition.video.segments import VideoSegmentDetector
from retinue_rekognition.video.text import VideoTextDetector

IMAGE_DETECTORS: tuple[type[RekognitionDetector[Any]], ...] = (
    LabelDetector,
    FaceDetector,
    FaceSearchDetector,
    FaceCompareDetector,
    ModerationDetector,
    TextDetector,
    CelebrityDetector,
    ProtectiveEquipmentDetector,
    CustomLabelsDetector,
)
"""All detectors of images."""

VIDEO_DETECTORS: tuple[type[VideoDetector[Any]], ...] = (
    VideoLabelDetector,
    VideoFaceDetector,
    VideoFaceSearchDetector,
    VideoModerationDetector,
    VideoCelebrityDetector,
    VideoTextDetector,
    VideoSegmentDetector,
)
"""All detectors of videos."""

DETECTORS: tuple[type[AnyDetector], ...] = (*IMAGE_DETECTORS, *VIDEO_DETECTORS)
"""All detectors of this plugin."""


@hookimpl
def retinue_register_detectors(register: Callable[[type[AnyDetector]], None]) -> None:
    """Register the detectors of this plugin."""
    for detector in DETECTORS:
        register(detector)
