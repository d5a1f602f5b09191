"""The plugin's entry point."""

from collections.abc import Callable

from retinue_sdk import AnyDetector, hookimpl

from retinue_rekognition.celebrities import CelebrityDetector
from retinue_rekognition.custom_labels import CustomLabelsDetector
from retinue_rekognition.face_compare import FaceCompareDetector
from retinue_rekognition.face_search import FaceSearchDetector
from retinue_rekognition.faces import FaceDetector
from retinue_rekognition.labels import LabelDetector
from retinue_rekognition.moderation import ModerationDetector
from retinue_rekognition.protective_equipment import ProtectiveEquipmentDetector
from retinue_rekognition.text import TextDetector

DETECTORS: tuple[type[AnyDetector], ...] = (
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
"""All detectors of this plugin."""


@hookimpl
def retinue_register_detectors(register: Callable[[type[AnyDetector]], None]) -> None:
    """Register the detectors of this plugin."""
    for detector in DETECTORS:
        register(detector)
