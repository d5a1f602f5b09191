"""Add operators to a network: the preparation of its input, and the decoding of its outputs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx

PREFIX = "retinue/"
"""The beginning of the added names, which no exporter uses."""

MIN_OPSET = 13
"""The first operator set in which the operators have the form that is used here."""


@dataclass
class Graph:
    """Operators to add to a network, in order.

    Attributes:
        place: The beginning of their names after ``PREFIX``.
        nodes: The operators.
        constants: Their constants.
    """

    place: str = ""
    nodes: "list[onnx.NodeProto]" = field(default_factory=list)
    constants: "list[onnx.TensorProto]" = field(default_factory=list)

    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add an operator, and return the name of its output."""
        from onnx import helper

        output = name or f"{PREFIX}{self.place}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, value: npt.ArrayLike, dtype: Any = np.float32) -> str:
        """Add a constant, and return its name."""
        from onnx import numpy_helper

        name = f"{PREFIX}{self.place}constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def part(self, tensor: str, begin: int, end: int | None, axis: int = 2) -> str:
        """Return a part of a tensor: from ``begin`` up to ``end``, or all of the rest."""
        limits = [begin], [2**31 - 1 if end is None else end], [axis]
        return self.op("Slice", tensor, *(self.constant(limit, np.int64) for limit in limits))

    def shaped(self, tensor: str, *shape: int) -> str:
        """Return a tensor in another shape; 0 keeps a dimension and -1 is the rest."""
        return self.op("Reshape", tensor, self.constant(shape, np.int64))

    def edges(self, centred: str) -> str:
        """Return boxes (…, 4) given as centre x, centre y, width, height by their edges."""
        centre = self.part(centred, 0, 2)
        half = self.op("Div", self.part(centred, 2, 4), self.constant(2))
        low, high = self.op("Sub", centre, half), self.op("Add", centre, half)
        return self.op("Concat", low, high, axis=2)

    def best(self, values: str, count: int) -> tuple[str, str]:
        """Return the largest values along the last axis, descending, and their positions."""
        from onnx import helper

        outputs = [
            f"{PREFIX}{self.place}{len(self.nodes)}/{end}" for end in ("values", "positions")
        ]
        inputs = values, self.constant([count], np.int64)
        self.nodes.append(helper.make_node("TopK", inputs, outputs))
        return outputs[0], outputs[1]

    def largest(self, values: str) -> str:
        """Return the largest value along the last axis."""
        value, _ = self.best(values, 1)
        return self.op("Squeeze", value, self.constant([-1], np.int64))

    def rows(self, tensor: str, positions: str) -> str:
        """Return rows of each image: (N, A, …) and positions (N, K) give (N, K, …)."""
        at = self.op("Unsqueeze", positions, self.constant([-1], np.int64))
        return self.op("GatherND", tensor, at, batch_dims=1)


@dataclass(frozen=True, slots=True)
class Head:
    """Decoded outputs of a network, as names of tensors. N is the batch, A the number of boxes.

    Attributes:
        boxes: Shape (N, A, 4): left, top, right, bottom in pixels of the canvas.
        scores: Shape (N, A, C), or (N, A) with one class per box.
        classes: Shape (N, A), float; ``None`` if there are scores of all classes.
        shape: A and C; C is 1 with one class per box.
    """

    boxes: str
    scores: str
    classes: str | None
    shape: tuple[int, int]


def best_rows(graph: Graph, head: Head, limit: int, name: str) -> None:
    """Add the best candidates as rows of left, top, right, bottom, score, class.

    Args:
        graph: Gets the operators.
        head: The candidates.
        limit: Maximum number of rows. All candidates, if they are fewer.
        name: The name of the result: shape (N, K, 6), descending by score.
    """
    boxes, classes = head.shape
    count = min(limit, boxes)
    if head.classes is not None:
        scores, at = graph.best(head.scores, count)
        labels = graph.rows(head.classes, at)
    else:
        # The best candidates belong to the boxes with the best scores: search these first.
        _, some = graph.best(graph.largest(head.scores), count)
        flat = graph.shaped(graph.rows(head.scores, some), 0, -1)
        count = min(limit, count * classes)
        scores, found = graph.best(flat, count)
        columns = graph.constant(classes, np.int64)
        at = graph.rows(some, graph.op("Div", found, columns))
        labels = graph.op("Cast", graph.op("Mod", found, columns), to=_FLOAT)
    ends = [graph.op("Unsqueeze", one, graph.constant([-1], np.int64)) for one in (scores, labels)]
    graph.op("Concat", graph.rows(head.boxes, at), *ends, axis=2, name=name)


def total(graph: Graph, head: Head, name: str) -> None:
    """Add the sum of an image's scores and edges, shape (N,), which is NaN if one of them is."""
    sums = []
    for tensor in (head.scores, head.boxes):
        flat = graph.shaped(tensor, 0, -1)
        sums.append(graph.op("ReduceSum", flat, graph.constant([1], np.int64), keepdims=0))
    graph.op("Add", *sums, name=name)


_FLOAT = 1
"""``TensorProto.FLOAT``."""


def float32(graph: Graph, tensors: Sequence[str]) -> list[str]:
    """Return tensors of any type as float32."""
    return [graph.op("Cast", tensor, to=_FLOAT) for tensor in tensors]
