"""YOLO without suppression: every cell's box, with the scores of all classes.

A canvas is divided into cells of 8, 16 and 32 pixels, whose number identifies these networks.
Larger models add cells of 64 pixels, models for small objects cells of 4, and the smallest leave
out 8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from retinue_onnx.candidates import Candidates
from retinue_onnx.graph import Graph, Head
from retinue_onnx.preprocessing import YOLO_GREY, Preprocessing
from retinue_onnx.readers.reader import Probe, Reader, edges, reaching
from retinue_onnx.session import Array
from retinue_onnx.suppression import suppressed

STRIDES_PX = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
"""Sizes of cells: of most models, and of those named P6, P2 and tiny (YOLOv3)."""

ANCHORS = 3
"""Boxes of a cell in YOLOv5 and YOLOv7 (``anchors`` in models/yolov5s.yaml)."""

MAX_LOGARITHM = 8.0
"""Largest size in strides, as a natural logarithm, that is possible: e⁸ strides of 8 pixels are
23,848 pixels, and no canvas has more than 4,096. Sizes in pixels exceed it: cells of 32 pixels
never answer with boxes that are all smaller than 8.
"""


def strides_of(count: int, probe: Probe) -> tuple[int, ...] | None:
    """Return the strides of the grids that have this number of cells together."""
    for strides in STRIDES_PX:
        if count == sum(-(-probe.height // s) * -(-probe.width // s) for s in strides):
            return strides
    return None


def _are_logarithms(rows: Array) -> bool:
    """Return whether columns 2 and 3, the sizes, are logarithms and not pixels."""
    return bool((rows[..., 2:4] <= MAX_LOGARITHM).all())


def _head_with_objectness(
    graph: Graph, rows: str, centred: str, shapes: Sequence[tuple[int, ...]]
) -> Head:
    """Return the head of rows (N, A, 5 + classes)."""
    objectness, classes = graph.part(rows, 4, 5), graph.part(rows, 5, None)
    scores = graph.op("Mul", objectness, classes)
    _, cells, columns = shapes[0]
    return Head(graph.edges(centred), scores, None, (cells, columns - 5))


def _with_objectness(rows: Array, boxes: Array, threshold: float, max_iou: float) -> Candidates:
    """Return the candidates of rows (n, 5 + classes). A score is objectness × class."""
    promising = rows[:, 4] >= threshold  # the product can't be larger
    scores = rows[promising, 4:5] * rows[promising, 5:]
    return suppressed(reaching(boxes[promising], scores, threshold), max_iou=max_iou)


@dataclass(frozen=True)
class YoloX(Reader):
    """YOLOX's ``export_onnx.py`` (https://github.com/Megvii-BaseDetection/YOLOX, Apache-2.0).

    Centres are offsets from the cell's corner in strides, sizes logarithms of strides
    (``decode_outputs`` in yolo_head.py).

    Attributes:
        classes: Number of classes.
        cells: Shape (cells, 2): x, y of each cell's corner, in strides.
        strides: Shape (cells, 1): each cell's size in pixels.
    """

    name: ClassVar[str] = "yolox"
    outputs: ClassVar[str] = "YOLOX: one (N, cells, 5 + classes), boxes not decoded"
    preprocessing: ClassVar[Preprocessing] = Preprocessing.of(
        "letterbox-top-left", "0-255", channels="bgr", fill=YOLO_GREY
    )
    MAX_IOU: ClassVar[float] = 0.45
    """``nms_thr`` in demo/ONNXRuntime/onnx_inference.py."""

    classes: int
    cells: Array
    strides: Array

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept a row for each cell, with logarithms as sizes."""
        output = probe.only(probe.batch, None, None)
        if output is None or output.shape[2] < 6:
            return None
        strides = strides_of(output.shape[1], probe)
        if strides is None or not _are_logarithms(output):
            return None
        cells, sizes = [], []
        for stride in strides:
            columns, rows = -(-probe.width // stride), -(-probe.height // stride)
            y, x = np.divmod(np.arange(columns * rows), columns)
            cells.append(np.stack([x, y], axis=1))
            sizes.append(np.full((columns * rows, 1), stride))
        return cls(
            output.shape[2] - 5,
            np.concatenate(cells).astype(np.float32),
            np.concatenate(sizes).astype(np.float32),
        )

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Decode the boxes, and suppress overlapping ones."""
        rows = outputs[0][index]
        centres = (rows[:, :2] + self.cells) * self.strides
        sizes = np.exp(rows[:, 2:4].clip(max=MAX_LOGARITHM)) * self.strides
        boxes = edges(np.concatenate([centres, sizes], axis=1))
        return _with_objectness(rows, boxes, threshold, self.MAX_IOU)

    def head(self, graph: Graph, outputs: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> Head:
        """Decode all cells."""
        [rows], strides = outputs, graph.constant(self.strides)
        offsets = graph.op("Add", graph.part(rows, 0, 2), graph.constant(self.cells))
        logarithms = graph.op("Min", graph.part(rows, 2, 4), graph.constant(MAX_LOGARITHM))
        sizes = graph.op("Mul", graph.op("Exp", logarithms), strides)
        centred = graph.op("Concat", graph.op("Mul", offsets, strides), sizes, axis=2)
        return _head_with_objectness(graph, rows, centred, shapes)


@dataclass(frozen=True)
class YoloXDecoded(Reader):
    """YOLOX's ``export_onnx.py --decode_in_inference``."""

    name: ClassVar[str] = "yolox-decoded"
    outputs: ClassVar[str] = (
        "YOLOX --decode_in_inference: one (N, cells, 5 + classes), boxes in pixels"
    )
    preprocessing: ClassVar[Preprocessing] = YoloX.preprocessing
    MAX_IOU: ClassVar[float] = YoloX.MAX_IOU

    classes: int

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept a row for each cell, with pixels as sizes."""
        output = probe.only(probe.batch, None, None)
        if output is None or output.shape[2] < 6 or _are_logarithms(output):
            return None
        return None if strides_of(output.shape[1], probe) is None else cls(output.shape[2] - 5)

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Suppress overlapping boxes."""
        rows = outputs[0][index]
        return _with_objectness(rows, edges(rows[:, :4]), threshold, self.MAX_IOU)

    def head(self, graph: Graph, outputs: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> Head:
        """Take all rows."""
        return _head_with_objectness(graph, outputs[0], graph.part(outputs[0], 0, 4), shapes)


@dataclass(frozen=True)
class YoloV6(YoloXDecoded):
    """YOLOv6's ``deploy/ONNX/export_onnx.py``, with the same columns."""

    name: ClassVar[str] = "yolov6"
    outputs: ClassVar[str] = "YOLOv6: one (N, cells, 5 + classes), boxes in pixels"
    preprocessing: ClassVar[Preprocessing] = Preprocessing.of("letterbox", "0-1", fill=YOLO_GREY)


@dataclass(frozen=True)
class YoloV5(Reader):
    """YOLOv5's ``export.py`` and YOLOv7's ``export.py --grid``: three boxes a cell, in pixels.

    Masks of YOLOv5's segmentation models are ignored.

    Attributes:
        classes: Number of classes.
        at: The number of the output with boxes.
    """

    name: ClassVar[str] = "yolov5"
    outputs: ClassVar[str] = "YOLOv5, YOLOv7: one (N, 3 × cells, 5 + classes)"
    preprocessing: ClassVar[Preprocessing] = Preprocessing.of("letterbox", "0-1", fill=YOLO_GREY)
    MAX_IOU: ClassVar[float] = 0.45
    """``iou_thres`` in detect.py of both."""

    classes: int
    at: int

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept three rows for each cell, perhaps with prototypes of masks."""
        at, masks = probe.with_prototypes() or (0, 0)
        if not masks and probe.only(probe.batch, None, None) is None:
            return None
        _, count, columns = probe.outputs[at].shape
        classes = columns - 5 - masks
        if classes < 1 or count % ANCHORS or strides_of(count // ANCHORS, probe) is None:
            return None
        return cls(classes, at)

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Suppress overlapping boxes."""
        rows = outputs[self.at][index, :, : 5 + self.classes]
        return _with_objectness(rows, edges(rows[:, :4]), threshold, self.MAX_IOU)

    def head(self, graph: Graph, outputs: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> Head:
        """Take all rows."""
        rows = graph.part(outputs[self.at], 0, 5 + self.classes)
        _, cells, _ = shapes[self.at]
        shape = (shapes[self.at][0], cells, 5 + self.classes)
        return _head_with_objectness(graph, rows, graph.part(rows, 0, 4), [shape])


@dataclass(frozen=True)
class Ultralytics(Reader):
    """Ultralytics' exports of YOLOv8, YOLO11 and others without NMS: a column for each cell.

    The keypoints of pose models are ignored.
    """

    name: ClassVar[str] = "ultralytics"
    outputs: ClassVar[str] = "Ultralytics: one (N, 4 + classes, cells), boxes in pixels"
    preprocessing: ClassVar[Preprocessing] = Preprocessing.of("letterbox", "0-1", fill=YOLO_GREY)
    MAX_IOU: ClassVar[float] = 0.7
    """``iou`` in cfg/default.yaml."""

    classes: int

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept a column for each cell."""
        output = probe.only(probe.batch, None, None)
        if output is None or strides_of(output.shape[2], probe) is None:
            return None
        classes = output.shape[1] - 4 - probe.keypoint_columns
        return cls(classes) if classes > 0 else None

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Suppress overlapping boxes."""
        columns = outputs[0][index, : 4 + self.classes]
        promising = (columns[4:] >= threshold).any(axis=0)
        found = columns[:, promising].T
        return suppressed(
            reaching(edges(found[:, :4]), found[:, 4:], threshold), max_iou=self.MAX_IOU
        )

    def head(self, graph: Graph, outputs: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> Head:
        """Take all columns."""
        rows = graph.op("Transpose", outputs[0], perm=[0, 2, 1])
        boxes, scores = graph.part(rows, 0, 4), graph.part(rows, 4, 4 + self.classes)
        return Head(graph.edges(boxes), scores, None, (shapes[0][2], self.classes))


@dataclass(frozen=True)
class UltralyticsSegments(Ultralytics):
    """Ultralytics' exports of segmentation models. Their masks are ignored.

    Attributes:
        at: The number of the output with boxes.
    """

    name: ClassVar[str] = "ultralytics-segments"
    outputs: ClassVar[str] = (
        "Ultralytics segmentation: (N, 4 + classes + masks, cells) and "
        "(N, masks, height / 4, width / 4)"
    )

    at: int

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept a column for each cell, and prototypes of masks."""
        found = probe.with_prototypes()
        if found is None:
            return None
        at, masks = found
        columns = probe.outputs[at].shape
        classes = columns[1] - 4 - masks
        if classes < 1 or strides_of(columns[2], probe) is None:
            return None
        return cls(classes, at)

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Suppress overlapping boxes."""
        return super().read_one([outputs[self.at]], index, threshold)

    def head(self, graph: Graph, outputs: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> Head:
        """Take the columns of all boxes."""
        return super().head(graph, [outputs[self.at]], [shapes[self.at]])
