"""Classify images with an ONNX model."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from PIL import Image as Pillow
from pydantic import Field
from retinue_sdk import (
    Capabilities,
    ConfigurationError,
    Detection,
    Detector,
    DetectorError,
    DetectorNotReadyError,
    DetectorOptions,
    Findings,
    Image,
    Input,
    Operational,
    Result,
)


class OnnxClassesOptions(DetectorOptions):
    """The model and its classes."""

    model: Path
    """ONNX file: input (N, 3, side, side), RGB from 0 to 1; output (N, classes), probabilities."""

    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of the classes, in the order of the model's output."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Minimum confidence of a detection, 0 to 1."""

    side_px: Annotated[int, Field(ge=16, le=2048)] = 224
    """Width and height of the model's input, in pixels."""

    max_batch_size: Annotated[int, Field(ge=1, le=256), Operational()] = 8
    """Maximum number of images in one call."""


class OnnxClasses(Detector[OnnxClassesOptions]):
    """Classifies images."""

    name: ClassVar[str] = "onnx-classes"
    version: ClassVar[str] = "1"

    def __init__(self, options: OnnxClassesOptions) -> None:
        """Hash the model file; load it in ``start``."""
        super().__init__(options)
        self._session: Any = None
        try:
            self._sha256 = hashlib.sha256(options.model.read_bytes()).hexdigest()
        except OSError as error:
            raise ConfigurationError(f"option model: {error}") from error

    @property
    def capabilities(self) -> Capabilities:
        """Ask for pixels in batches: ONNX Runtime uses all cores for each batch."""
        return Capabilities(Input.PIXELS, max_batch_size=self.options.max_batch_size)

    def model_fingerprint(self) -> str:
        """Return a hash of the file: it can change under the same name."""
        return self._sha256

    def start(self) -> None:
        """Load the model."""
        import onnxruntime  # type: ignore[import-untyped]

        try:
            self._session = onnxruntime.InferenceSession(
                str(self.options.model), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises many types
            raise ConfigurationError(f"option model: the file cannot be loaded: {error}") from error

    def close(self) -> None:
        """Release the model."""
        self._session = None

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Run the model on all readable images together."""
        if self._session is None:
            raise DetectorNotReadyError("not started, or closed")
        results: dict[int, Result] = {}
        inputs: dict[int, np.ndarray] = {}
        for index, image in enumerate(images):
            try:
                inputs[index] = self._input(image)
            except DetectorError as error:
                results[index] = error
        if inputs:
            name = self._session.get_inputs()[0].name
            [scores] = self._session.run(None, {name: np.stack(list(inputs.values()))})
            for index, row in zip(inputs, scores, strict=True):
                results[index] = self._findings(row)
        return [results[index] for index in range(len(images))]

    def _input(self, image: Image) -> np.ndarray:
        side = self.options.side_px
        resized = Pillow.fromarray(image.pixels()).resize((side, side))
        return np.asarray(resized, dtype=np.float32).transpose(2, 0, 1) / 255

    def _findings(self, scores: np.ndarray) -> Findings:
        found = [
            Detection("label", name, min(float(score), 1.0))
            for name, score in zip(self.options.classes, scores, strict=True)
            if score >= self.options.threshold
        ]
        return Findings(tuple(found), raw_response={"scores": [float(score) for score in scores]})
