"""One graph from uint8 canvases to the best candidates, for accelerators.

Without it, images are normalised and outputs decoded by NumPy on the CPU, and 2 MB of floats an
image go to the accelerator and as many come back. Suppression stays on the CPU: it has outputs of
changing size, which CUDA graphs forbid.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from retinue_onnx.candidates import Candidates
from retinue_onnx.errors import NotANumberError
from retinue_onnx.graph import MIN_OPSET, PREFIX, Graph, best_rows, float32, total
from retinue_onnx.preprocessing import Preprocessing
from retinue_onnx.readers.reader import Reader
from retinue_onnx.session import SIZES_INPUT, Array, OnnxSession
from retinue_onnx.suppression import suppressed

if TYPE_CHECKING:
    import onnx

CANVASES = f"{PREFIX}canvases"
"""The input: shape (N, height, width, 3), uint8, RGB."""

ROWS = f"{PREFIX}rows"
"""The output: shape (N, K, 6), float32: left, top, right, bottom, score, class; best first."""

MAX_ROWS = 1_000
"""K at most, per image. Suppression needs more than it keeps: NanoDet compares 1,000 candidates per
stride (``nms_pre`` in ``gfl_head.py``), and ultralytics reports 300 (``max_det``).
"""


SUMS = f"{PREFIX}sums"
"""The second output: shape (N,); NaN if the network answers with NaN for an image."""


def fused(
    model: bytes,
    session: OnnxSession,
    preprocessing: Preprocessing,
    *,
    reader: Reader | None = None,
    shapes: Sequence[tuple[int, ...]] = (),
) -> bytes:
    """Return a network that takes canvases and, with a reader that can, answers with rows.

    Args:
        model: The network's ONNX file.
        session: The loaded network.
        preprocessing: How canvases are normalised.
        reader: Decodes the outputs.
        shapes: The outputs' shapes.
    """
    import onnx

    network = onnx.load_model_from_string(model)
    opset = next(one.version for one in network.opset_import if one.domain in ("", "ai.onnx"))
    before, after = Graph(), Graph("after/")
    _add_input(network, before, session, preprocessing)
    if reader is not None and opset >= MIN_OPSET:
        _add_rows(network, after, reader, session.output_names, shapes)
    nodes = [*before.nodes, *network.graph.node, *after.nodes]
    del network.graph.node[:]
    network.graph.node.extend(nodes)
    network.graph.initializer.extend([*before.constants, *after.constants])
    return bytes(network.SerializeToString())


def _add_input(
    network: "onnx.ModelProto", graph: Graph, session: OnnxSession, preprocessing: Preprocessing
) -> None:
    """Replace the inputs by canvases, normalised by the same operations as in NumPy."""
    from onnx import TensorProto, helper

    shape = [session.batch or "N", session.height or "H", session.width or "W", 3]
    tensor = CANVASES
    mean, deviation = preprocessing.mean, preprocessing.deviation
    if preprocessing.channels == "bgr":
        tensor = graph.op("Gather", tensor, graph.constant([2, 1, 0], np.int64), axis=3)
        mean, deviation = mean[::-1], deviation[::-1]
    if not session.takes_bytes:
        [tensor] = float32(graph, [tensor])
        tensor = graph.op("Sub", tensor, graph.constant(mean))
        tensor = graph.op("Div", tensor, graph.constant(deviation))
    if not session.channels_last:
        tensor = graph.op("Transpose", tensor, perm=[0, 3, 1, 2])
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(session.dtype))
    graph.op("Cast", tensor, name=session.image, to=kind)
    if session.others:
        _, height, width, _ = shape
        images = graph.part(graph.op("Shape", CANVASES), 0, 1, axis=0)
        for name in session.others:
            value, rest = (
                ([[width, height]], [2]) if name == SIZES_INPUT else ([[[1]]], [height, width])
            )
            size = graph.op("Concat", images, graph.constant(rest, np.int64), axis=0)
            graph.op("Expand", graph.constant(value, np.int64), size, name=name)
    del network.graph.input[:]
    network.graph.input.append(helper.make_tensor_value_info(CANVASES, TensorProto.UINT8, shape))


def _add_rows(
    network: "onnx.ModelProto",
    graph: Graph,
    reader: Reader,
    names: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
) -> None:
    """Replace the outputs by the best rows, if the reader can decode them in the network."""
    from onnx import TensorProto, helper

    head = reader.head(graph, float32(graph, names), shapes)
    if head is None:
        return
    best_rows(graph, head, MAX_ROWS, ROWS)
    total(graph, head, SUMS)
    del network.graph.output[:]
    for name, shape in ((ROWS, ["N", None, 6]), (SUMS, ["N"])):
        network.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def read_rows(rows: Array, threshold: float, max_iou: float | None) -> list[Candidates]:
    """Return the candidates of each image.

    Args:
        rows: Shape (N, K, 6), of each image descending by score.
        threshold: Minimum score, 0 to 1.
        max_iou: Of boxes of one class; ``None`` if they aren't suppressed.

    Raises:
        NotANumberError: An edge or a score isn't finite.
    """
    counts = np.count_nonzero(rows[:, :, 4] >= threshold, axis=1).tolist()
    if not np.isfinite(rows[:, : max(counts)]).all():
        raise NotANumberError("the network answered with boxes that are not finite")
    found = []
    for one, count in zip(rows, counts, strict=True):
        classes = one[:count, 5].astype(np.int64)
        points = np.zeros((count, 0, 2), np.float32)
        candidates = Candidates(one[:count, :4], one[:count, 4], classes, points)
        if max_iou is not None and count > 1:
            candidates = suppressed(candidates, max_iou=max_iou)
        found.append(candidates)
    return found
