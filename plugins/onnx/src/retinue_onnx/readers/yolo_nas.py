"""YOLO-NAS, as SuperGradients exports it: with suppression in two formats, and without.

The formats are those of https://github.com/Deci-AI/super-gradients
(``documentation/source/models_export.md``). Names of outputs begin with the number of a graph, such
as ``graph2_pred_boxes``. Boxes are left, top, right, bottom in pixels of the canvas.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from retinue_onnx.candidates import Candidates
from retinue_onnx.graph import Graph, Head
from retinue_onnx.preprocessing import YOLO_GREY, Preprocessing
from retinue_onnx.readers.end_to_end import CountedRows
from retinue_onnx.readers.reader import Probe, Reader, are_boxes, listed, reaching
from retinue_onnx.readers.yolo import strides_of
from retinue_onnx.session import Array
from retinue_onnx.suppression import suppressed

COLUMNS = 7
"""Of the flat format: image, left, top, right, bottom, score, class."""


@dataclass(frozen=True)
class YoloNas(Reader):
    """Without suppression: ``export(…, postprocessing=False)``.

    Attributes:
        classes: Number of classes.
        order: The numbers of the outputs with boxes and scores.
    """

    name: ClassVar[str] = "yolo-nas"
    outputs: ClassVar[str] = "YOLO-NAS: (N, cells, 4), boxes in pixels, and (N, cells, classes)"
    preprocessing: ClassVar[Preprocessing] = Preprocessing.of("letterbox", "0-1", fill=YOLO_GREY)
    MAX_IOU: ClassVar[float] = 0.7
    """``nms_threshold`` of the exports with suppression."""

    classes: int
    order: tuple[int, int]

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept a box and scores for each cell. With four classes, the boxes come first."""
        shapes = [output.shape for output in probe.outputs]
        if [len(shape) for shape in shapes] != [3, 3] or shapes[0][:2] != shapes[1][:2]:
            return None
        if shapes[0][0] != probe.batch or strides_of(shapes[0][1], probe) is None:
            return None
        if any(output.dtype.kind != "f" for output in probe.outputs):
            return None
        order = (0, 1) if shapes[0][2] == 4 else (1, 0)
        return cls(shapes[order[1]][2], order) if shapes[order[0]][2] == 4 else None

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Suppress overlapping boxes."""
        boxes, scores = (outputs[number][index] for number in self.order)
        return suppressed(reaching(boxes, scores, threshold), max_iou=self.MAX_IOU)

    def head(self, graph: Graph, outputs: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> Head:  # noqa: ARG002 - all values are taken
        """Take all cells."""
        boxes, scores = (outputs[number] for number in self.order)
        return Head(boxes, scores, None, (shapes[0][1], self.classes))


class YoloNasBatch(CountedRows):
    """With suppression, in the format *batch*, the default."""

    name: ClassVar[str] = "yolo-nas-batch"
    outputs: ClassVar[str] = (
        "YOLO-NAS batch: num_predictions (N, 1), pred_boxes (N, M, 4), pred_scores (N, M), "
        "pred_classes (N, M)"
    )
    preprocessing: ClassVar[Preprocessing] = YoloNas.preprocessing

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept the four names, with matching shapes."""
        order = probe.exported("num_predictions", "pred_boxes", "pred_scores", "pred_classes")
        if order is None or not are_boxes(*(probe.outputs[number] for number in order[1:])):
            return None
        return cls(tuple(order))


class YoloNasFlat(Reader):
    """With suppression, in the format *flat*: the columns are not those of YOLOv7."""

    name: ClassVar[str] = "yolo-nas-flat"
    outputs: ClassVar[str] = (
        "YOLO-NAS flat: flat_predictions (M, 7): image, left, top, right, bottom, score, class"
    )
    classes = None
    preprocessing: ClassVar[Preprocessing] = YoloNas.preprocessing

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept one output with seven columns, unless it has YOLOv7's name."""
        if probe.only(None, COLUMNS) is None or "output" in probe.at:
            return None
        return cls()

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Return the rows that begin with the image's number."""
        rows = outputs[0][outputs[0][:, 0] == index]
        return listed(rows[:, 1:5], rows[:, 5], rows[:, 6], threshold)
