"""Simplify Open-NSFW's ONNX graph, a TensorFlow ResNet-50 that a converter wrote out.

Every convolution is followed by four nodes with constants (its bias and its batch normalisation),
and surrounded by transpositions and casts without effect. The result has the same convolutions,
with the constants folded in, on NCHW.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]

SIDE_PX = 224

WITHOUT_EFFECT = ("Cast", "Identity", "Transpose")
"""Casts are from float32 to float32; transpositions are undone by the next one."""

OF_SHAPES = ("Concat", "ConstantOfShape", "Constant", "Div", "Gather", "Reshape", "Shape", "Slice")
"""These only compute the padding, which is known."""


def simplified(source: onnx.GraphProto) -> onnx.GraphProto:
    """Return the graph.

    Input ``image``: (N, 3, 224, 224) float32. Output ``probabilities``: (N, 2), safe and unsafe.

    Raises:
        ValueError: It has another structure than the reviewed one.
    """
    return _Simplification(source).graph()


class _Simplification:
    """Walks through the graph's nodes in order."""

    def __init__(self, source: onnx.GraphProto) -> None:
        self._source = source
        self._constants = {w.name: numpy_helper.to_array(w) for w in source.initializer}
        self._names = {source.input[0].name: "image"}
        self._nodes: list[onnx.NodeProto] = []
        self._folded: dict[str, tuple[Array, Array]] = {}

    def graph(self) -> onnx.GraphProto:
        for node in self._source.node:
            self._add(node)
        for node in self._nodes:
            if node.op_type == "Conv":
                kernel, bias = self._folded[node.output[0]]
                node.input.extend([f"{node.output[0]}/weight", f"{node.output[0]}/bias"])
                self._constants[node.input[1]], self._constants[node.input[2]] = kernel, bias
        used = {name for node in self._nodes for name in node.input}
        weights = [
            numpy_helper.from_array(np.ascontiguousarray(array, dtype=np.float32), name)
            for name, array in self._constants.items()
            if name in used
        ]
        shape = ["N", 3, SIDE_PX, SIDE_PX]
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
        output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2])
        return helper.make_graph(self._nodes, "open-nsfw", [image], [output], initializer=weights)

    def _emit(self, node: onnx.NodeProto, inputs: list[str], **attributes: Any) -> None:
        name = node.output[0]
        self._nodes.append(helper.make_node(node.op_type, inputs, [name], name=name, **attributes))
        self._names[name] = name

    def _add(self, node: onnx.NodeProto) -> None:
        values = [self._names[name] for name in node.input if name in self._names]
        constants = [self._constants[name] for name in node.input if name in self._constants]
        if not values:
            if constants:  # Identity of a constant
                self._constants[node.output[0]] = constants[0]
            return  # a part of a padding's computation
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type in WITHOUT_EFFECT or node.op_type == "Pad":
            self._names[node.output[0]] = values[0]
        elif node.op_type == "Conv":
            if len(self._folded) == 0:
                attributes["pads"] = [3, 3, 3, 3]
            self._emit(node, values, **attributes)
            kernel = constants[0].astype(np.float64)
            self._folded[node.output[0]] = kernel, np.zeros(len(kernel))
        elif node.op_type in ("Add", "Sub", "Mul") and constants and values[0] in self._folded:
            self._fold(node, values[0], constants[0].reshape(-1).astype(np.float64))
        elif node.op_type == "MaxPool":
            self._emit(node, values, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])
        elif node.op_type == "ReduceMean":
            pooled = f"{node.output[0]}/pooled"
            self._nodes.append(helper.make_node("GlobalAveragePool", values, [pooled], name=pooled))
            self._nodes.append(
                helper.make_node("Flatten", [pooled], [node.output[0]], name=node.output[0])
            )
            self._names[node.output[0]] = node.output[0]
        elif node.op_type in ("Relu", "Add", "MatMul"):
            named = [self._names.get(name, name) for name in node.input]
            self._emit(node, named)
        elif node.op_type == "Softmax":
            self._nodes.append(
                helper.make_node("Softmax", values, ["probabilities"], name="softmax", axis=-1)
            )
        elif node.op_type not in OF_SHAPES:
            raise ValueError(f"{node.name}: {node.op_type} is not expected there")

    def _fold(self, node: onnx.NodeProto, conv: str, constant: Array) -> None:
        kernel, bias = self._folded[conv]
        if node.op_type == "Mul":
            self._folded[conv] = kernel * constant[:, None, None, None], bias * constant
        else:
            self._folded[conv] = kernel, bias + (constant if node.op_type == "Add" else -constant)
        self._names[node.output[0]] = conv
