"""Convert a TensorFlow.js graph model to ONNX, with only numpy and onnx.

A TF.js graph model is a JSON file (the graph as TensorFlow's ``GraphDef``, and a manifest of the
weights) and a binary file (the weights, one after the other, in the manifest's order). Its
convolutions, poolings and resizings work on NHWC tensors; ONNX's work on NCHW. A graph that was
itself converted from PyTorch, as this one, surrounds each of them with a pair of transpositions and
pads before instead of within. The translation undoes both: every value is kept as NCHW, a
transposition only changes its interpretation, and padding is applied by the operator that uses it.

Operators: https://www.tensorflow.org/api_docs/python/tf/raw_ops and https://onnx.ai/onnx/operators.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
"""The first ONNX operator set whose Resize can skip the batch dimension (``axes``)."""

IR_VERSION = 8
"""The ONNX file format of operator set 18."""

NCHW_TO_NHWC = [0, 2, 3, 1]
NHWC_TO_NCHW = [0, 3, 1, 2]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class GraphModel:
    """A TensorFlow.js graph model.

    Attributes:
        nodes: The graph's nodes, each after its inputs.
        weights: Constants by node name; float16 where the file stores them so.
    """

    nodes: Sequence[Mapping[str, Any]]
    weights: Mapping[str, Array]


@dataclass(frozen=True)
class Value:
    """A tensor of the ONNX graph, from the TensorFlow graph's view.

    Attributes:
        name: Its name in the ONNX graph, where it is NCHW if it has four dimensions.
        channels_last: Whether it is NHWC in TensorFlow.
        padding: Pixels that TensorFlow has added on each side of height and width, and ONNX hasn't.
    """

    name: str
    channels_last: bool = False
    padding: int = 0


def read_graph_model(json_path: Path, weights_path: Path) -> GraphModel:
    """Read both files of a TensorFlow.js graph model."""
    document = json.loads(json_path.read_text())
    data = weights_path.read_bytes()
    weights: dict[str, Array] = {}
    offset = 0
    for entry in document["weightsManifest"][0]["weights"]:
        stored = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"], dtype=np.int64))
        array = np.frombuffer(data, stored, count, offset).reshape(entry["shape"])
        weights[entry["name"]] = array
        offset += array.nbytes
    if offset != len(data):
        raise ValueError(f"the weights have {len(data)} bytes, but the manifest tells of {offset}")
    return GraphModel(document["modelTopology"]["node"], weights)


class Translation:
    """The translation of a TensorFlow graph to ONNX.

    Weights stay float16 in the file and are cast to float32, which ONNX Runtime does once, when it
    loads the model. The first dimension becomes the batch.

    Args:
        model: The graph model.
        inputs: The ONNX name of each input node.
        outputs: The ONNX name of each output node.
    """

    def __init__(
        self, model: GraphModel, *, inputs: Mapping[str, str], outputs: Mapping[str, str]
    ) -> None:
        self._model = model
        self._input_names = inputs
        self._outputs = outputs
        self._constants: dict[str, Array] = {}
        self._values: dict[str, Value] = {}
        self._casts: list[onnx.NodeProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._convolutions: dict[str, onnx.NodeProto] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._translate: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "Add": self._add,
            "AddV2": self._add_constants,
            "ConcatV2": self._concat,
            "Const": self._const,
            "Conv2D": self._conv,
            "Identity": self._identity,
            "LeakyRelu": self._leaky_relu,
            "MaxPool": self._max_pool,
            "Pad": self._pad,
            "PadV2": self._pad,
            "Placeholder": self._placeholder,
            "Reshape": self._reshape,
            "ResizeBilinear": self._resize,
            "Sigmoid": self._sigmoid,
            "SparseToDense": self._sparse_to_dense,
            "SplitV": self._split,
            "Transpose": self._transpose,
        }

    def graph(self, name: str, outputs: Sequence[onnx.ValueInfoProto]) -> onnx.GraphProto:
        """Return the whole graph as ONNX.

        Raises:
            ValueError: It uses an operator in an unsupported way, or an unsupported operator.
        """
        for node in self._model.nodes:
            translate = self._translate.get(node["op"])
            if translate is None:
                raise ValueError(f"{node['name']}: operator {node['op']} is not translated")
            translate(node)
        nodes = [*self._casts, *self._nodes]
        return helper.make_graph(nodes, name, self._inputs, outputs, initializer=self._initializers)

    def _constant(self, node: Mapping[str, Any], index: int) -> Array:
        return self._constants[node["input"][index]]

    def _value(self, node: Mapping[str, Any], index: int, *, channels_last: bool) -> Value:
        value = self._values[node["input"][index]]
        if value.channels_last != channels_last:
            raise ValueError(f"{node['name']} ({node['op']}) has its channels in the wrong place")
        return value

    def _unpadded(self, node: Mapping[str, Any], index: int, *, channels_last: bool) -> str:
        value = self._value(node, index, channels_last=channels_last)
        if value.padding:
            raise ValueError(f"{node['name']} ({node['op']}) cannot take padding")
        return value.name

    def _emit(self, op: str, node: Mapping[str, Any], inputs: list[str], **attributes: Any) -> str:
        name = node["name"]
        self._nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return str(name)

    def _initializer(self, name: str, array: Array) -> str:
        self._initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _weight(self, name: str, array: Array) -> str:
        """Return a weight that is stored unchanged and computed with as float32."""
        stored = self._initializer(f"{name}/stored", array)
        self._casts.append(
            helper.make_node("Cast", [stored], [name], name=f"{name}/cast", to=TensorProto.FLOAT)
        )
        return name

    def _const(self, node: Mapping[str, Any]) -> None:
        self._constants[node["name"]] = self._model.weights[node["name"]]

    def _sparse_to_dense(self, node: Mapping[str, Any]) -> None:
        indices, shape, _, default = (self._constant(node, index) for index in range(4))
        if len(indices):
            raise ValueError(f"{node['name']}: only empty sparse tensors are translated")
        self._constants[node["name"]] = np.full(shape, default)

    def _add_constants(self, node: Mapping[str, Any]) -> None:
        self._constants[node["name"]] = self._constant(node, 0) + self._constant(node, 1)

    def _placeholder(self, node: Mapping[str, Any]) -> None:
        sizes = [int(size["size"]) for size in node["attr"]["shape"]["shape"]["dim"]]
        name = self._input_names[node["name"]]
        self._inputs.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *sizes[1:]])
        )
        self._values[node["name"]] = Value(name)

    def _transpose(self, node: Mapping[str, Any]) -> None:
        order = self._constant(node, 1).tolist()
        value = self._values[node["input"][0]]
        if order == NCHW_TO_NHWC and not value.channels_last:
            self._values[node["name"]] = replace(value, channels_last=True)
        elif order == NHWC_TO_NCHW and value.channels_last:
            self._values[node["name"]] = replace(value, channels_last=False)
        elif len(order) == 3 and not value.channels_last:
            self._values[node["name"]] = Value(
                self._emit("Transpose", node, [value.name], perm=order)
            )
        else:
            raise ValueError(f"{node['name']}: a transposition by {order} is not translated")

    def _pad(self, node: Mapping[str, Any]) -> None:
        """Pad with 0 for convolutions and with −∞ for poolings, as they do themselves."""
        amount = int(self._constant(node, 1)[-1, -1])
        expected = [[0, 0], [0, 0], [amount, amount], [amount, amount]]
        fill = 0.0 if node["op"] == "Pad" else float(self._constant(node, 2))
        if self._constant(node, 1).tolist() != expected or fill not in (0.0, -np.inf):
            raise ValueError(f"{node['name']}: only even padding with 0 or −∞ is translated")
        value = Value(self._unpadded(node, 0, channels_last=False), padding=amount)
        self._values[node["name"]] = value

    def _window(self, node: Mapping[str, Any], value: Value, size: Sequence[int]) -> dict[str, Any]:
        """Return the common attributes of convolutions and poolings."""
        if base64.b64decode(node["attr"]["padding"]["s"]) != b"VALID":
            raise ValueError(f"{node['name']}: only padding beforehand is translated")
        strides = [int(stride) for stride in node["attr"]["strides"]["list"]["i"]]
        return {
            "kernel_shape": list(size),
            "strides": strides[1:3],
            "pads": [value.padding] * 4,
        }

    def _conv(self, node: Mapping[str, Any]) -> None:
        value = self._value(node, 0, channels_last=True)
        kernel = self._constant(node, 1)  # height, width, channels in, channels out
        dilations = node["attr"]["dilations"]["list"]["i"]
        if [int(dilation) for dilation in dilations] != [1, 1, 1, 1]:
            raise ValueError(f"{node['name']}: dilated convolutions are not translated")
        weight = self._weight(f"{node['name']}/weight", kernel.transpose(3, 2, 0, 1))
        window = self._window(node, value, kernel.shape[:2])
        name = self._emit("Conv", node, [value.name, weight], **window)
        self._convolutions[name] = self._nodes[-1]
        self._values[node["name"]] = Value(name, channels_last=True)

    def _max_pool(self, node: Mapping[str, Any]) -> None:
        value = self._value(node, 0, channels_last=True)
        size = [int(size) for size in node["attr"]["ksize"]["list"]["i"]][1:3]
        name = self._emit("MaxPool", node, [value.name], **self._window(node, value, size))
        self._values[node["name"]] = Value(name, channels_last=True)

    def _add(self, node: Mapping[str, Any]) -> None:
        first, second = node["input"]
        if second in self._constants:
            self._add_bias(node, second)
            return
        channels_last = self._values[first].channels_last
        inputs = [self._unpadded(node, index, channels_last=channels_last) for index in (0, 1)]
        self._values[node["name"]] = Value(self._emit("Add", node, inputs), channels_last)

    def _add_bias(self, node: Mapping[str, Any], bias: str) -> None:
        value = self._value(node, 0, channels_last=True)
        convolution = self._convolutions.pop(value.name, None)
        if convolution is None:
            raise ValueError(f"{node['name']}: only a convolution's bias is translated")
        convolution.input.append(self._weight(bias, self._constants[bias]))
        self._values[node["name"]] = value

    def _concat(self, node: Mapping[str, Any]) -> None:
        inputs = [
            self._unpadded(node, i, channels_last=False) for i in range(len(node["input"]) - 1)
        ]
        axis = int(self._constants[node["input"][-1]])
        self._values[node["name"]] = Value(self._emit("Concat", node, inputs, axis=axis))

    def _leaky_relu(self, node: Mapping[str, Any]) -> None:
        value = self._unpadded(node, 0, channels_last=False)
        alpha = float(node["attr"]["alpha"]["f"])
        self._values[node["name"]] = Value(self._emit("LeakyRelu", node, [value], alpha=alpha))

    def _sigmoid(self, node: Mapping[str, Any]) -> None:
        value = self._unpadded(node, 0, channels_last=False)
        self._values[node["name"]] = Value(self._emit("Sigmoid", node, [value]))

    def _resize(self, node: Mapping[str, Any]) -> None:
        value = self._unpadded(node, 0, channels_last=True)
        attributes = node["attr"]
        if not attributes["half_pixel_centers"]["b"] or attributes["align_corners"]["b"]:
            raise ValueError(f"{node['name']}: only half-pixel centres are translated")
        sizes = self._initializer(f"{node['name']}/sizes", self._constant(node, 1).astype(np.int64))
        name = self._emit(
            "Resize",
            node,
            [value, "", "", sizes],
            axes=[2, 3],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
        self._values[node["name"]] = Value(name, channels_last=True)

    def _split(self, node: Mapping[str, Any]) -> None:
        value = self._unpadded(node, 0, channels_last=False)
        sizes, axis = self._constant(node, 1), int(self._constant(node, 2))
        name = node["name"]
        names = [name, *(f"{name}:{index}" for index in range(1, len(sizes)))]
        stored = self._initializer(f"{name}/sizes", sizes.astype(np.int64))
        split = helper.make_node("Split", [value, stored], names, name=name, axis=axis)
        self._nodes.append(split)
        for part in names:
            self._values[part] = Value(part)

    def _reshape(self, node: Mapping[str, Any]) -> None:
        value = self._unpadded(node, 0, channels_last=False)
        shape = self._constant(node, 1).astype(np.int64)
        if shape[0] != 1:
            raise ValueError(f"{node['name']}: reshaping to {shape.tolist()} mixes the batch")
        shape[0] = 0  # ONNX: unchanged
        stored = self._initializer(f"{node['name']}/shape", shape)
        self._values[node["name"]] = Value(self._emit("Reshape", node, [value, stored]))

    def _identity(self, node: Mapping[str, Any]) -> None:
        value = self._unpadded(node, 0, channels_last=False)
        output = self._outputs[node["name"]]
        self._nodes.append(helper.make_node("Identity", [value], [output], name=output))
