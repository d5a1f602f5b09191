"""Relatives of DETR without their last step: logits, and boxes as ratios of the canvas.

Boxes are centre x, centre y, width, height (``center_to_corners_format`` in transformers).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from retinue_onnx.candidates import Candidates
from retinue_onnx.class_names import coco_names
from retinue_onnx.graph import Graph, Head, float32
from retinue_onnx.preprocessing import Preprocessing
from retinue_onnx.readers.reader import Probe, Reader, edges, listed, reaching, sigmoid
from retinue_onnx.session import Array

COCO_IDS = 91
"""Columns of a model with COCO's category ids, 0 to 90."""


@dataclass(frozen=True)
class _Transformer(Reader):
    """A network with logits (N, Q, columns) and boxes (N, Q, 4).

    Attributes:
        classes: Number of classes.
        order: The numbers of the outputs with logits and boxes.
        height: Height of the canvas, in pixels.
        width: Width of the canvas, in pixels.
    """

    NAMES: ClassVar[Sequence[tuple[str, str]]] = (
        ("logits", "pred_boxes"),
        ("pred_logits", "pred_boxes"),
    )
    """The outputs' names in transformers, and those of the networks' authors."""

    classes: int
    order: tuple[int, int]
    height: int
    width: int

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept the two names, with matching shapes."""
        names = next((names for names in cls.NAMES if probe.named(*names)), None)
        if names is None:
            return None
        logits, boxes = (probe.outputs[probe.at[name]] for name in names)
        if (
            logits.ndim != 3
            or logits.dtype.kind != "f"
            or boxes.shape != (*logits.shape[:2], 4)
            or (classes := cls._classes(logits.shape[2], probe)) is None
        ):
            return None
        order = probe.at[names[0]], probe.at[names[1]]
        return cls(classes, order, probe.height, probe.width)

    @classmethod
    def _classes(cls, columns: int, probe: Probe) -> int | None:
        """Return the number of classes of the logits; ``None`` if they are another family's."""
        del probe
        return columns

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Return a candidate for each query and class, without suppression."""
        logits, boxes = (outputs[number][index] for number in self.order)
        return reaching(self._pixels(boxes), sigmoid(logits), threshold).best_first()

    def head(self, graph: Graph, outputs: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> Head:
        """Return a candidate for each query and class."""
        logits, boxes = (outputs[number] for number in self.order)
        _, queries, columns = shapes[self.order[0]]
        scores = graph.op("Sigmoid", logits)
        return Head(self._in_pixels(graph, boxes), scores, None, (queries, columns))

    def _in_pixels(self, graph: Graph, boxes: str) -> str:
        size = graph.constant((self.width, self.height, self.width, self.height))
        return graph.op("Mul", graph.edges(boxes), size)

    def _pixels(self, boxes: Array) -> Array:
        pixels: Array = edges(boxes) * (self.width, self.height, self.width, self.height)
        return pixels


class Detr(_Transformer):
    """DETR, YOLOS and Table Transformer of Hugging Face: softmax, and a last class of no object."""

    name: ClassVar[str] = "detr"
    outputs: ClassVar[str] = (
        "DETR, YOLOS of Hugging Face: logits (N, Q, classes + 1), pred_boxes (N, Q, 4)"
    )
    preprocessing: ClassVar[Preprocessing] = Preprocessing.of("stretch", "imagenet")

    @classmethod
    def _classes(cls, columns: int, probe: Probe) -> int | None:
        del probe
        return columns - 1 if columns > 1 else None

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Return the best class of each query."""
        logits, boxes = (outputs[number][index] for number in self.order)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = (weights / weights.sum(axis=1, keepdims=True))[:, :-1]
        best = scores.argmax(axis=1)
        return listed(self._pixels(boxes), scores.max(axis=1), best, threshold)

    def head(self, graph: Graph, outputs: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> Head:
        """Return the best class of each query."""
        logits, boxes = (outputs[number] for number in self.order)
        _, queries, columns = shapes[self.order[0]]
        likelihoods = graph.part(graph.op("Softmax", logits, axis=-1), 0, columns - 1)
        score, number = graph.best(likelihoods, 1)
        [number] = float32(graph, [number])
        scores, classes = (graph.shaped(one, 0, -1) for one in (score, number))
        return Head(self._in_pixels(graph, boxes), scores, classes, (queries, 1))


class RtDetrLogits(_Transformer):
    """RT-DETR and D-FINE of Hugging Face: sigmoid, pixels from 0 to 1."""

    name: ClassVar[str] = "rt-detr-logits"
    outputs: ClassVar[str] = (
        "RT-DETR, D-FINE of Hugging Face: logits (N, Q, classes), pred_boxes (N, Q, 4)"
    )
    preprocessing: ClassVar[Preprocessing] = Preprocessing.of("stretch", "0-1")

    @classmethod
    def _classes(cls, columns: int, probe: Probe) -> int | None:
        return None if probe.labels is None and columns == COCO_IDS else columns


class DeformableDetr(_Transformer):
    """Deformable and Conditional DETR of Hugging Face: sigmoid, ImageNet's mean and deviation."""

    name: ClassVar[str] = "deformable-detr"
    outputs: ClassVar[str] = (
        "Deformable, Conditional DETR of Hugging Face: logits (N, Q, classes), pred_boxes (N, Q, 4)"
    )
    preprocessing: ClassVar[Preprocessing] = Preprocessing.of("stretch", "imagenet")

    @classmethod
    def _classes(cls, columns: int, probe: Probe) -> int | None:
        is_coco = probe.labels in (None, coco_names())
        return None if is_coco and columns == len(coco_names()) else columns


@dataclass(frozen=True)
class UltralyticsRtDetr(Reader):
    """RT-DETR as Ultralytics exports it: boxes as ratios, scores after sigmoid, all above 0.

    Since version 8.4, a row has the score and the class id of its best class instead of all scores.

    Attributes:
        classes: Number of classes; ``None`` if the rows have class ids.
        height: Height of the canvas, in pixels.
        width: Width of the canvas, in pixels.
    """

    name: ClassVar[str] = "ultralytics-rt-detr"
    outputs: ClassVar[str] = (
        "RT-DETR of Ultralytics: one (N, Q, 6): centre x, centre y, width, height, score, class; "
        "or one (N, Q, 4 + classes)"
    )
    preprocessing: ClassVar[Preprocessing] = Preprocessing.of("stretch", "0-1")

    classes: int | None
    height: int
    width: int

    @classmethod
    def fit(cls, probe: Probe) -> Self | None:
        """Accept boxes that are ratios, and scores above 0."""
        rows = probe.only(probe.batch, None, None)
        if rows is None or not rows.size or rows.shape[2] < 5:
            return None
        has_ids = rows.shape[2] == 6 and not (rows[..., 5] % 1).any()
        scores = rows[..., 4:5] if has_ids else rows[..., 4:]
        if rows[..., :4].min() < 0 or rows[..., :4].max() > 1:
            return None
        if scores.min() < 0 or scores.max() > 1 or not scores.any():
            return None
        return cls(None if has_ids else rows.shape[2] - 4, probe.height, probe.width)

    def read_one(self, outputs: Sequence[Array], index: int, threshold: float) -> Candidates:
        """Return the best class of each query, or a candidate for each query and class."""
        rows = outputs[0][index]
        boxes = edges(rows[:, :4]) * (self.width, self.height, self.width, self.height)
        if self.classes is None:
            return listed(boxes, rows[:, 4], rows[:, 5], threshold)
        return reaching(boxes, rows[:, 4:], threshold).best_first()


class RfDetr(_Transformer):
    """RF-DETR's export: sigmoid, ImageNet's mean and deviation."""

    name: ClassVar[str] = "rf-detr"
    outputs: ClassVar[str] = "RF-DETR: dets (N, Q, 4), labels (N, Q, classes)"
    preprocessing: ClassVar[Preprocessing] = Preprocessing.of("stretch", "imagenet")
    NAMES: ClassVar[Sequence[tuple[str, str]]] = (("labels", "dets"),)
