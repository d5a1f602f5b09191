"""The bundled NanoDet in two parts: a body that stays as it is, and heads that are trained."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from retinue_onnx.readers.nanodet import STRIDES_PX
from retinue_onnx.session import Batch, OnnxSession

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.float16]

BINS = 11
"""Bins of each side's distance (``reg_max: 10`` in upstream's config/nanodet-g.yml)."""

SIDE_PX = 416
"""Side of the network's canvas."""


@dataclass(slots=True)
class HeadWeights:
    """The weights of one stride's head: a 3 × 3 convolution, Leaky ReLU, a 1 × 1 convolution.

    Attributes:
        conv: Shape (9 × channels, hidden): rows by kernel row, kernel column, channel.
        conv_bias: Shape (hidden,).
        out: Shape (hidden, classes + 4 × bins).
        out_bias: Shape (classes + 4 × bins,).
    """

    conv: Floats
    conv_bias: Floats
    out: Floats
    out_bias: Floats

    @property
    def arrays(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return all weights. They are changed in place."""
        return self.conv, self.conv_bias, self.out, self.out_bias

    def copy(self) -> "HeadWeights":
        """Return a copy."""
        return HeadWeights(*(array.copy() for array in self.arrays))


@dataclass(frozen=True, slots=True)
class _HeadNodes:
    """The nodes of one stride's head in the graph."""

    conv: "onnx.NodeProto"
    leaky: "onnx.NodeProto"
    out: "onnx.NodeProto"
    split: "onnx.NodeProto"
    reshape: "onnx.NodeProto"


class NanoDetBody:
    """The bundled network, cut in front of its heads.

    Args:
        model: The bytes of the bundled ONNX file.
    """

    def __init__(self, model: bytes) -> None:
        import onnx

        self.sha256 = hashlib.sha256(model).hexdigest()
        self._model = onnx.load_model_from_string(model)
        self._producers = {
            output: node for node in self._model.graph.node for output in node.output
        }
        self._weights = {weight.name: weight for weight in self._model.graph.initializer}
        self._heads = [self._head(stride) for stride in STRIDES_PX]
        self._session = self._load()
        self.slope = next(
            (one.f for one in self._heads[0].leaky.attribute if one.name == "alpha"), 0.01
        )
        """Slope of Leaky ReLU below 0."""

    def features(self, canvases: Batch) -> list[Halves]:
        """Return the feature maps in front of the heads.

        Args:
            canvases: Normalised images.

        Returns:
            For each stride, shape (N, rows, columns, channels).
        """
        return [
            output.transpose(0, 2, 3, 1).astype(np.float16)
            for output in self._session.run(canvases)
        ]

    def _load(self) -> OnnxSession:
        """Return the body. Several threads run it, each on one core."""
        from onnx.shape_inference import infer_shapes
        from onnx.utils import Extractor

        body = Extractor(infer_shapes(self._model)).extract_model(
            [self._model.graph.input[0].name], [head.conv.input[0] for head in self._heads]
        )
        return OnnxSession(body.SerializeToString(), threads=1)

    def heads(self) -> list[HeadWeights]:
        """Return the bundled heads, with their 80 classes."""
        return [
            HeadWeights(
                np.ascontiguousarray(conv.transpose(2, 3, 1, 0).reshape(-1, conv.shape[0])),
                conv_bias.copy(),
                np.ascontiguousarray(out[:, :, 0, 0].T),
                out_bias.copy(),
            )
            for conv, conv_bias, out, out_bias in (
                tuple(self._weight(name) for name in (*head.conv.input[1:3], *head.out.input[1:3]))
                for head in self._heads
            )
        ]

    def with_heads(self, heads: Sequence[HeadWeights], metadata: dict[str, str]) -> bytes:
        """Return the bytes of the network with other heads, in the same layout.

        Args:
            heads: The heads, one for each stride. All have the same classes.
            metadata: Metadata of the file.
        """
        import onnx
        from onnx import helper, numpy_helper

        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        weights = {weight.name: weight for weight in model.graph.initializer}
        classes = heads[0].out.shape[1] - 4 * BINS

        def replace(name: str, value: npt.NDArray[np.generic]) -> None:
            stored = weights[self._stored(name)]
            kind = helper.tensor_dtype_to_np_dtype(stored.data_type)
            stored.CopyFrom(numpy_helper.from_array(value.astype(kind), stored.name))

        for nodes, head in zip(self._heads, heads, strict=True):
            hidden = head.conv.shape[1]
            conv = head.conv.reshape(3, 3, -1, hidden).transpose(3, 2, 0, 1)
            replace(nodes.conv.input[1], np.ascontiguousarray(conv))
            replace(nodes.conv.input[2], head.conv_bias)
            replace(nodes.out.input[1], np.ascontiguousarray(head.out.T)[:, :, None, None])
            replace(nodes.out.input[2], head.out_bias)
            replace(nodes.split.input[1], np.array([classes, 4 * BINS], np.int64))
            shape = numpy_helper.to_array(self._weights[nodes.reshape.input[1]]).copy()
            shape[1] = classes
            replace(nodes.reshape.input[1], shape)
        del model.graph.value_info[:]
        for output in model.graph.output:
            if output.name.startswith("cls_"):
                output.type.tensor_type.shape.dim[2].dim_value = classes
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))

    def _head(self, stride: int) -> _HeadNodes:
        """Return the nodes that lead to the scores of a stride, by walking backwards."""
        found: dict[str, onnx.NodeProto] = {}
        node = self._producers[f"cls_pred_stride_{stride}"]
        while "Conv" not in found or "LeakyRelu" not in found:
            found.setdefault(node.op_type, node)
            node = self._producers[node.input[0]]
        return _HeadNodes(node, found["LeakyRelu"], found["Conv"], found["Split"], found["Reshape"])

    def _stored(self, name: str) -> str:
        """Return the name of a weight's initializer: half precision is cast at load."""
        return name if name in self._weights else self._producers[name].input[0]

    def _weight(self, name: str) -> Floats:
        from onnx import numpy_helper

        return numpy_helper.to_array(self._weights[self._stored(name)]).astype(np.float32)
