"""Networks that include suppression: their outputs are boxes, scores and classes.

Their input is RGB, 0 to 1. Boxes are left, top, right, bottom in pixels of the input.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from retinue_sdk import Pixels

from retinue_onnx.candidates import Candidates
from retinue_onnx.layout import Canvases
from retinue_onnx.letterbox import Placement, letterbox, stretch
from retinue_onnx.options import Resize
from retinue_onnx.session import Array, Batch

LETTERBOX_GREY = 114
"""Grey level around a letterboxed image, as in the training of the YOLO family (``letterbox`` in
ultralytics and YOLOv7).
"""

Rows: TypeAlias = tuple[Array, Array, Array]
"""Boxes (n, 4), scores (n,) and class ids (n,) of one image."""

Reader: TypeAlias = Callable[[Sequence[Array], int], list[Rows]]
"""Returns the rows of each image from outputs and the number of images."""


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """A network whose last step selects boxes.

    Attributes:
        name: The name for the raw response.
        reader: Returns the rows of the outputs.
        resize: How an image is resized to the canvas.
        height: Height of the canvas, in pixels. width: Of the canvas, in pixels.
    """

    name: str
    reader: Reader
    resize: Resize
    height: int
    width: int

    def place(self, pixels: Pixels) -> tuple[Pixels, Placement]:
        """Letterbox on grey, or stretch."""
        if self.resize == "stretch":
            return stretch(pixels, height=self.height, width=self.width)
        return letterbox(pixels, height=self.height, width=self.width, fill=LETTERBOX_GREY)

    def normalise(self, canvases: Canvases) -> Batch:
        """Return red first, 0 to 1."""
        batch: Batch = np.ascontiguousarray(canvases.transpose(0, 3, 1, 2), dtype=np.float32)
        batch /= np.float32(255)
        return batch

    def read(self, outputs: Sequence[Array], count: int, threshold: float) -> list[Candidates]:
        """Return rows whose score reaches the threshold. Rows of a negative class are padding."""
        found = []
        for boxes, scores, classes in self.reader(outputs, count):
            wanted = (scores >= threshold) & (classes >= 0)
            corners = boxes[wanted].astype(np.float32)
            corners[:, 2:] = np.maximum(corners[:, 2:], corners[:, :2])
            rows = Candidates.of(
                corners, scores[wanted].astype(np.float32), classes[wanted].astype(np.int64)
            )
            found.append(rows.best_first())
        return found


def batch_of_rows(outputs: Sequence[Array], count: int) -> list[Rows]:
    """Read one output (N, M, 6): left, top, right, bottom, score, class.

    Ultralytics' exports with ``nms=True`` and its NMS-free models (YOLOv10, YOLO26).
    """
    (rows,) = outputs
    return [(rows[i, :, :4], rows[i, :, 4], rows[i, :, 5]) for i in range(count)]


def numbered_rows(outputs: Sequence[Array], count: int) -> list[Rows]:
    """Read one output (M, 7): image number, left, top, right, bottom, class, score.

    YOLOv7's ``export.py --end2end`` for ONNX Runtime.
    """
    (rows,) = outputs
    images = [rows[rows[:, 0] == i] for i in range(count)]
    return [(image[:, 1:5], image[:, 6], image[:, 5]) for image in images]


@dataclass(frozen=True, slots=True)
class CountedRows:
    """Reads numbers of detections (N, 1), boxes (N, M, 4), scores (N, M) and classes (N, M).

    TensorRT's EfficientNMS, as in YOLOv7's ``export.py --end2end`` for TensorRT.

    Attributes:
        order: The numbers of these four outputs.
    """

    order: tuple[int, int, int, int]

    def __call__(self, outputs: Sequence[Array], count: int) -> list[Rows]:
        """Return the rows of each image, without padding."""
        numbers, boxes, scores, classes = (outputs[index] for index in self.order)
        ends = [int(number) for number in numbers.reshape(-1)]
        return [
            (boxes[i, : ends[i]], scores[i, : ends[i]], classes[i, : ends[i]]) for i in range(count)
        ]


@dataclass(frozen=True, slots=True)
class Queries:
    """Reads labels (N, Q), boxes (N, Q, 4) and scores (N, Q).

    RT-DETR's ``export_onnx.py`` and its relatives (D-FINE, DEIM).

    Attributes:
        order: The numbers of these three outputs.
    """

    order: tuple[int, int, int]

    def __call__(self, outputs: Sequence[Array], count: int) -> list[Rows]:
        """Return the rows of each image."""
        labels, boxes, scores = (outputs[index] for index in self.order)
        return [(boxes[i], scores[i], labels[i]) for i in range(count)]
