"""The detector ``onnx-objects``: 80 everyday objects, or the classes of your own model."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from retinue_sdk import Detection, DetectorNotReadyError

from retinue_onnx.class_names import Names, chosen_names, coco_names, names_in_metadata
from retinue_onnx.detector import OnnxDetector
from retinue_onnx.options import OnnxOptions, Resize

if TYPE_CHECKING:
    from retinue_onnx.candidates import Candidates
    from retinue_onnx.layout import Layout
    from retinue_onnx.letterbox import Placement
    from retinue_onnx.session import OnnxSession


class ObjectOptions(OnnxOptions):
    """Options of ``onnx-objects``."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.45
    """Minimum confidence, 0 to 1."""

    labels: Path | tuple[str, ...] | None = None
    """Names of the classes, ordered by id: a text file with one per line, or a list. Default: the
    names in the model, or else those of COCO.
    """

    resize: Resize | None = None
    """How images are resized for an end-to-end model: ``letterbox`` keeps their proportions,
    ``stretch`` doesn't. Default: as in the training of the model's family.
    """

    input_side_px: Annotated[int, Field(ge=32, le=4096, multiple_of=32)] | None = None
    """Side of the square input in pixels, if the model leaves it open. Default: 640."""


class ObjectDetector(OnnxDetector[ObjectOptions, "Candidates"]):
    """Finds objects: NanoDet with the 80 categories of COCO, or your own model."""

    name: ClassVar[str] = "onnx-objects"
    version: ClassVar[str] = "2"
    bundled_model: ClassVar[str] = "nanodet.onnx"

    def __init__(self, options: ObjectOptions) -> None:
        """Find the model file and the class names.

        Raises:
            ConfigurationError: The model or the file of names doesn't exist.
        """
        super().__init__(options)
        self._names: Names = coco_names()
        if options.labels is not None:
            self._names = chosen_names(options.labels)

    def model_fingerprint(self) -> str:
        """Return the SHA-256 of the model file and of the labels."""
        names = "" if self.options.labels is None else json.dumps(self._names)
        return hashlib.sha256(f"{super().model_fingerprint()}\n{names}".encode()).hexdigest()

    def _layout(self, session: "OnnxSession") -> "Layout":
        from retinue_onnx.recognition import recognised

        if self.options.labels is None:
            self._names = names_in_metadata(session.metadata) or coco_names()
        return recognised(
            session,
            classes=len(self._names),
            resize=self.options.resize,
            side_px=self.options.input_side_px,
        )

    def _detections(self, candidates: "Candidates", placement: "Placement") -> list[Detection]:
        from retinue_onnx.boxes import bounding_boxes

        beyond = candidates.classes.max(initial=-1)
        if beyond >= len(self._names):
            raise DetectorNotReadyError(
                f"{self.name}: option labels: the model found class {beyond}, but there are only "
                f"{len(self._names)} labels; give one for each class of the model"
            )
        boxes = bounding_boxes(candidates, placement)
        return [
            Detection("label", self._names[index], min(float(score), 1.0), box)
            for index, score, box in zip(candidates.classes, candidates.scores, boxes, strict=True)
        ]
