"""Networks that include suppression: their outputs are boxes, scores and classes.

Boxes are left, top, right, bottom in pixels of the input.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from retinue_onnx.candidates import Candidates
from retinue_onnx.preprocessing import YOLO_GREY, Preprocessing
from retinue_onnx.readers.reader import Probe, Reader, are_boxes, listed
from retinue_onnx.session import Array

YOLO = Preprocessing.of("letterbox", "0-1", fill=YOLO_GREY)


@dataclass(frozen=True)
class Rows(Reader):
    """Ultralytics' exports with ``nms=True`` and its NMS-free models (YOLOv10, YOLO26).

    Masks and keypoints are ignored.

    Attributes:
        at: The number of the output with rows.
    """

    name: ClassVar[str] = "rows"
    outputs: ClassVar[str] = "YOLO with NMS: one (N, M, 6): left, top, right, bottom, score, class"
    classes = None
    preprocessing: ClassVar[Preprocessing] = YOLO

    at: int

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept six columns, of which the last has class ids, and then masks or keypoints."""
        at, columns = probe.with_prototypes() or (0, probe.keypoint_columns)
        output = probe.outputs[at]
        if len(probe.outputs) > 1 and probe.with_prototypes() is None:
            return None
        if output.ndim != 3 or output.dtype.kind != "f" or output.shape[0] != probe.batch:
            return None
        if output.shape[2] != 6 + columns or (output[..., 5] % 1).any():
            return None
        has_ratios = output.size > 0 and 0 < output[..., :4].max() <= 1
        return None if has_ratios else cls(at)

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Return the image's rows."""
        rows = outputs[self.at][index]
        return listed(rows[:, :4], rows[:, 4], rows[:, 5], threshold)


class NumberedRows(Reader):
    """YOLOv7's ``export.py --end2end`` for ONNX Runtime."""

    name: ClassVar[str] = "numbered-rows"
    outputs: ClassVar[str] = (
        "YOLOv7 end2end: one (M, 7): image, left, top, right, bottom, class, score"
    )
    classes = None
    preprocessing: ClassVar[Preprocessing] = YOLO

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept one output with seven columns and no batch axis, unless it has another's name."""
        is_nas = probe.exported("flat_predictions") is not None
        return None if is_nas or probe.only(None, 7) is None else cls()

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Return the rows that begin with the image's number."""
        rows = outputs[0][outputs[0][:, 0] == index]
        return listed(rows[:, 1:5], rows[:, 6], rows[:, 5], threshold)


@dataclass(frozen=True)
class CountedRows(Reader):
    """TensorRT's EfficientNMS, as in YOLOv7's ``export.py --end2end`` for TensorRT.

    Attributes:
        order: The numbers of the four outputs.
    """

    name: ClassVar[str] = "counted-rows"
    outputs: ClassVar[str] = (
        "TensorRT style: num_dets (N, 1), det_boxes (N, M, 4), det_scores (N, M), "
        "det_classes (N, M)"
    )
    classes = None
    preprocessing: ClassVar[Preprocessing] = YOLO

    order: tuple[int, ...]

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept the four names, with matching shapes."""
        names = ("num_dets", "det_boxes", "det_scores", "det_classes")
        found = probe.named(*names)
        if found is None or len(probe.names) != len(names) or not are_boxes(*found[1:]):
            return None
        return cls(tuple(probe.at[name] for name in names))

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Return the image's rows, without padding."""
        numbers, boxes, scores, classes = (outputs[number] for number in self.order)
        end = int(numbers.reshape(-1)[index])
        return listed(boxes[index, :end], scores[index, :end], classes[index, :end], threshold)


@dataclass(frozen=True)
class Queries(Reader):
    """RT-DETR's ``export_onnx.py`` and its relatives (D-FINE, DEIM).

    Attributes:
        order: The numbers of the three outputs.
    """

    name: ClassVar[str] = "queries"
    outputs: ClassVar[str] = "RT-DETR, D-FINE, DEIM: labels (N, Q), boxes (N, Q, 4), scores (N, Q)"
    classes = None
    preprocessing: ClassVar[Preprocessing] = Preprocessing.of("stretch", "0-1")

    order: tuple[int, ...]

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept the three names, with matching shapes."""
        names = ("boxes", "scores", "labels")
        found = probe.named(*names)
        if found is None or len(probe.names) != len(names) or not are_boxes(*found):
            return None
        return cls(tuple(probe.at[name] for name in names))

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Return the image's rows."""
        boxes, scores, labels = (outputs[number][index] for number in self.order)
        return listed(boxes, scores, labels, threshold)
