"""The entry point: what this plugin offers to Retinue."""

from collections.abc import Callable

from retinue_sdk import AnyDetector, hookimpl

from retinue_onnx.faces import FaceDetector
from retinue_onnx.objects import ObjectDetector


@hookimpl
def retinue_register_detectors(register: Callable[[type[AnyDetector]], None]) -> None:
    """Offer ``onnx-objects`` and ``onnx-faces``."""
    register(ObjectDetector)
    register(FaceDetector)
