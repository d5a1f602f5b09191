"""The entry point: what this plugin offers to Retinue.

It is imported by every worker, whatever its detectors, so it imports neither NumPy nor ONNX Runtime
nor what needs them: a detector does when it starts.
"""

from collections.abc import Callable

from retinue_sdk import AnyDetector, hookimpl

from retinue_onnx.faces import OnnxFaceDetector
from retinue_onnx.objects import ObjectDetector


@hookimpl
def retinue_register_detectors(register: Callable[[type[AnyDetector]], None]) -> None:
    """Offer ``onnx-objects`` and ``onnx-faces``."""
    register(ObjectDetector)
    register(OnnxFaceDetector)
