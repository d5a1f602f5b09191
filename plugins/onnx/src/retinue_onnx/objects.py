"""The detector ``onnx-objects``: 80 everyday objects, or the classes of your own model."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field
from retinue_sdk import ConfigurationError, Detection, DetectorNotReadyError, Json
from retinue_sdk.training import Trainer

from retinue_onnx.class_names import chosen_names, fingerprint_with, names_in_metadata
from retinue_onnx.detector import OnnxDetector
from retinue_onnx.hugging_face import export_beside
from retinue_onnx.options import Axes, OwnModelOptions, Resize
from retinue_onnx.thresholds import thresholds_in_metadata

if TYPE_CHECKING:
    from retinue_onnx.candidates import Candidates
    from retinue_onnx.letterbox import Placement
    from retinue_onnx.recognition import ObjectLayout
    from retinue_onnx.session import OnnxSession

LayoutName = Literal[
    "nanodet",
    "nanodet-plus",
    "picodet",
    "yolox",
    "yolox-decoded",
    "yolov5",
    "yolov6",
    "ultralytics",
    "ultralytics-segments",
    "yolo-nas",
    "yolo-nas-batch",
    "yolo-nas-flat",
    "rows",
    "numbered-rows",
    "counted-rows",
    "queries",
    "detr",
    "rt-detr-logits",
    "deformable-detr",
    "rf-detr",
    "ultralytics-rt-detr",
    "mmdeploy",
    "tensorflow",
    "torchvision",
]
"""Names of the readers, as in ``READERS`` of recognition.py, which is imported later."""

DEFAULT_THRESHOLD = 0.45

logger = logging.getLogger(__name__)


class ObjectOptions(OwnModelOptions):
    """Options of ``onnx-objects``."""

    threshold: Annotated[float | None, Field(ge=0, le=1)] = None
    """Minimum confidence, 0 to 1. Default: that of each label of a trained model, otherwise 0.45.
    """

    thresholds: Mapping[str, Annotated[float, Field(ge=0, le=1)]] = {}
    """Minimum confidence of single labels, 0 to 1, instead of ``threshold``."""

    layout: LayoutName | None = None
    """Format of the model's outputs. Default: the only one that fits their names and shapes."""

    resize: Resize | None = None
    """How images are resized: ``letterbox`` keeps their proportions and centres them,
    ``letterbox-top-left`` keeps them too, ``stretch`` doesn't. Default: as in the training of the
    model's family.
    """

    input_side_px: Annotated[int, Field(ge=32, le=4096, multiple_of=32)] | None = None
    """Side of the square input in pixels, if the model leaves it open. Default: 640."""


class ObjectDetector(OnnxDetector[ObjectOptions, "Candidates"]):
    """Finds objects: NanoDet with the 80 categories of COCO, or your own model.

    `retinue models train --on local --kind objects` trains such a model.
    """

    name: ClassVar[str] = "onnx-objects"
    version: ClassVar[str] = "3"
    bundled_model: ClassVar[str] = "nanodet.onnx"

    def __init__(self, options: ObjectOptions) -> None:
        """Find the model file and the class names.

        Raises:
            ConfigurationError: The model or the file of names doesn't exist.
        """
        super().__init__(options)
        self._export = export_beside(options.model)
        chosen = None if options.labels is None else chosen_names(options.labels)
        self._labels = chosen or self._export.labels
        self._recognised: ObjectLayout
        self._has_names = False
        self._trained: Mapping[str, float] = {}
        self._lowest = 0.0

    @classmethod
    def trainer(cls) -> Trainer:
        """Return the trainer of detectors."""
        from retinue_onnx.training.new_heads import NewHeads

        return NewHeads()

    def model_fingerprint(self) -> str:
        """Return a hash of the model file, the labels, and the files beside the model."""
        fingerprint = super().model_fingerprint()
        return fingerprint_with(fingerprint, self._labels, self._export.fingerprint())

    def describe(self) -> Mapping[str, Json]:
        """Return the network's inputs and outputs, and how they are used."""
        if self._loaded is None:
            return {}
        found = self._recognised
        return {
            **super().describe(),
            "chosen because": f"option layout={found.name}"
            if self.options.layout
            else f"model_type in config.json is one of {found.name}"
            if self._export.layout == found.name
            else f"the outputs are only those of {found.reader.outputs}",
            "canvas": [found.height, found.width],
            **found.preprocessing.as_json(),
            "labels": len(found.labels),
            "labels of": self._source,
            "first labels": list(found.labels[:5]),
            "threshold": self._least,
        }

    @property
    def labels(self) -> Sequence[str]:
        """Return the names of the classes, after ``start``."""
        return self._recognised.labels

    @property
    def _objects(self) -> "ObjectLayout":
        return self._recognised

    @property
    def _axes(self) -> Axes | None:
        return self.options.axes

    @property
    def _least(self) -> float:
        return self._lowest

    @property
    def _source(self) -> str:
        """Return the origin of the labels."""
        if self.options.labels is not None:
            return "the option"
        if self._export.labels is not None:
            return "config.json"
        return "the file's metadata" if self._has_names else "COCO"

    def _layout(self, session: "OnnxSession") -> "ObjectLayout":
        from retinue_onnx.preprocessing import Choices
        from retinue_onnx.recognition import recognised

        options, export = self.options, self._export
        names = names_in_metadata(session.metadata) if self._labels is None else None
        self._has_names = names is not None
        if export.resize == "crop":  # which would hide objects
            export = replace(export, resize=None, crop=None)
        self._recognised = recognised(
            session,
            Choices(
                resize=options.resize,
                channels=options.channels,
                pixels=options.pixels,
                mean=options.mean,
                std=options.std,
            ).completed_by(export, takes_bytes=session.takes_bytes),
            layout=options.layout,
            likely=export.layout,
            labels=self._labels or names,
            side_px=options.input_side_px or export.side_px(session.height, session.width),
            images=self._parallelism.images,
        )
        if self._recognised.reader.classes is None and self._source == "COCO":
            logger.warning(
                "%s: the model doesn't show its number of classes and has no labels, so they are "
                "COCO's: set the option labels if it was trained for other classes",
                self.name,
            )
        unknown = [name for name in options.thresholds if name not in self._recognised.labels]
        if unknown:
            raise ConfigurationError(
                f"option thresholds: the model has no label {', '.join(unknown)}; its labels are "
                f"{', '.join(self._recognised.labels)}"
            )
        self._trained = thresholds_in_metadata(session.metadata)
        self._lowest = min(map(self._threshold, self._recognised.labels))
        return self._recognised

    def _threshold(self, label: str) -> float:
        options = self.options
        if options.threshold is not None:
            return options.thresholds.get(label, options.threshold)
        return options.thresholds.get(label, self._trained.get(label, DEFAULT_THRESHOLD))

    def _detections(self, candidates: "Candidates", placement: "Placement") -> list[Detection]:
        from retinue_onnx.boxes import bounding_boxes

        labels = [self._recognised.label(int(index)) for index in candidates.classes]
        if None in labels:
            beyond = candidates.classes[labels.index(None)]
            raise DetectorNotReadyError(
                f"{self.name}: option labels: the model found class {beyond}, but there are only "
                f"{len(self._recognised.labels)} labels; give one for each class of the model"
            )
        boxes = bounding_boxes(candidates, placement)
        return [
            Detection("label", label, min(float(score), 1.0), box)
            for label, score, box in zip(labels, candidates.scores, boxes, strict=True)
            if label is not None and score >= self._threshold(label)
        ]
