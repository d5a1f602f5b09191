"""The entry point of this plugin.

Every worker imports it, so it imports neither NumPy nor ONNX Runtime. A detector imports them when
it starts.
"""

from collections.abc import Callable

from retinue_sdk import AnyDetector, hookimpl

from retinue_onnx.faces import OnnxFaceDetector
from retinue_onnx.labels import OnnxLabelDetector
from retinue_onnx.moderation import OnnxModerationDetector
from retinue_onnx.objects import ObjectDetector
from retinue_onnx.poses import OnnxPoseDetector
from retinue_onnx.segments import OnnxSegmentDetector
from retinue_onnx.text import OnnxTextDetector


@hookimpl
def retinue_register_detectors(register: Callable[[type[AnyDetector]], None]) -> None:
    """Register the detectors."""
    register(ObjectDetector)
    register(OnnxFaceDetector)
    register(OnnxLabelDetector)
    register(OnnxModerationDetector)
    register(OnnxTextDetector)
    register(OnnxSegmentDetector)
    register(OnnxPoseDetector)
