"""Convert a TensorFlow.js graph model that works on NHWC tensors to ONNX.

``tensorflow_js`` does the same for graphs that come from PyTorch. Here every image is NHWC in
TensorFlow and NCHW in ONNX, and nothing has to be undone. Only what the wanted nodes need is
translated, so that a graph can be cut before its postprocessing.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from half_precision import halved
from onnx import TensorProto, helper, numpy_helper
from tensorflow_js import Array, GraphModel

Node = Mapping[str, Any]

SAME = "SAME_UPPER"
"""ONNX's name for TensorFlow's padding SAME."""


class ImageGraph:
    """The translation of a graph with one image as input. The first dimension becomes the batch.

    Args:
        model: The graph model.
        outputs: The ONNX name of each wanted node.
        size: Height and width of the input; names where any size will do.
    """

    def __init__(
        self, model: GraphModel, outputs: Mapping[str, str], size: Sequence[str | int]
    ) -> None:
        self._model = model
        self._outputs = outputs
        self._size = size
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}
        self._names: dict[str, str] = {}
        self._translate: dict[str, Callable[[Node], None]] = {
            "Add": self._arithmetic,
            "AddN": self._arithmetic,
            "AddV2": self._arithmetic,
            "AvgPool": self._average_pool,
            "Cast": self._pass,
            "Conv2D": self._conv,
            "Conv2DBackpropInput": self._transposed_conv,
            "DepthwiseConv2dNative": self._conv,
            "FusedDepthwiseConv2dNative": self._conv,
            "Mul": self._arithmetic,
            "Placeholder": self._placeholder,
            "Relu": self._activation,
            "Relu6": self._activation,
            "ResizeBilinear": self._double,
            "Sigmoid": self._activation,
            "Sub": self._arithmetic,
            "_FusedConv2D": self._conv,
        }

    def graph(self, name: str, channels: Mapping[str, int]) -> onnx.GraphProto:
        """Return the whole graph as ONNX, with weights as float16.

        Args:
            name: The graph's name.
            channels: The number of channels of each output.

        Raises:
            ValueError: It uses an operator in an unsupported way, or an unsupported operator.
        """
        needed = self._needed()
        for node in self._model.nodes:
            if node["name"] in needed and node["op"] != "Const":
                translate = self._translate.get(node["op"])
                if translate is None:
                    raise ValueError(f"{node['name']}: operator {node['op']} is not translated")
                translate(node)
        for source, output in self._outputs.items():
            self._nodes.append(helper.make_node("Identity", [self._names[source]], [output]))
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, *self._size])
        outputs = [
            helper.make_tensor_value_info(
                output, TensorProto.FLOAT, ["N", channels[output], None, None]
            )
            for output in self._outputs.values()
        ]
        weights = list(self._weights.values())
        graph = helper.make_graph(self._nodes, name, [image], outputs, initializer=weights)
        halved(graph)
        return graph

    def _needed(self) -> set[str]:
        """Return the nodes from the input to the outputs. A resizing needs no computed size."""
        needed = set(self._outputs)
        for node in reversed(self._model.nodes):
            if node["name"] in needed:
                inputs = node.get("input", [])
                needed.update(inputs[:1] if node["op"] == "ResizeBilinear" else inputs)
        return needed

    def _constant(self, name: str) -> Array | None:
        return self._model.weights.get(name)

    def _weight(self, name: str, array: Array) -> str:
        stored = np.ascontiguousarray(array, dtype=np.float32)
        self._weights[name] = numpy_helper.from_array(stored, name)
        return name

    def _value(self, name: str) -> str:
        """Return an input's name in ONNX, for a value or for a constant of each channel."""
        array = self._constant(name)
        if array is None:
            return self._names[name]
        if array.size > 1 and array.size != array.shape[-1]:
            raise ValueError(f"{name}: only constants for each channel are translated")
        return self._weight(name, array.reshape((-1, 1, 1) if array.size > 1 else ()))

    def _emit(self, op: str, name: str, inputs: Sequence[str], **attributes: Any) -> None:
        self._nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        self._names[name] = name

    def _placeholder(self, node: Node) -> None:
        self._names[node["name"]] = "image"

    def _pass(self, node: Node) -> None:
        self._names[node["name"]] = self._names[node["input"][0]]

    def _arithmetic(self, node: Node) -> None:
        op = {"Mul": "Mul", "Sub": "Sub"}.get(node["op"], "Add")
        self._emit(op, node["name"], [self._value(name) for name in node["input"]])

    def _activation(self, node: Node) -> None:
        self._activate(node["op"], node["name"], self._names[node["input"][0]])

    def _activate(self, op: str, name: str, value: str) -> None:
        if op == "Relu6":
            low, high = self._weight("zero", np.float32(0)), self._weight("six", np.float32(6))
            self._emit("Clip", name, [value, low, high])
        else:
            self._emit(op, name, [value])

    def _conv(self, node: Node) -> None:
        name, (value, kernel_name, *biases) = node["name"], node["input"]
        kernel = self._constant(kernel_name)  # height, width, channels in, channels out
        if kernel is None:
            raise ValueError(f"{name}: only constant kernels are translated")
        depthwise = "Depthwise" in node["op"]
        if depthwise and kernel.shape[3] != 1:
            raise ValueError(f"{name}: only one output for each channel is translated")
        steps = _integers(node, "strides"), _integers(node, "dilations")
        weights = kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(3, 2, 0, 1)
        inputs = [self._names[value], self._weight(kernel_name, weights)]
        inputs += [self._weight(bias, self._model.weights[bias]) for bias in biases]
        fused = _texts(node, "fused_ops")[1:]
        output = f"{name}/linear" if fused else name
        self._emit(
            "Conv",
            output,
            inputs,
            kernel_shape=kernel.shape[:2],
            strides=steps[0][1:3],
            dilations=steps[1][1:3],
            group=kernel.shape[2] if depthwise else 1,
            **_padding(node),
        )
        if fused:
            self._activate(fused[0], name, output)

    def _transposed_conv(self, node: Node) -> None:
        _, kernel_name, value = node["input"]
        kernel = self._constant(kernel_name)  # height, width, channels out, channels in
        strides = _integers(node, "strides")[1:3]
        if kernel is None or list(kernel.shape[:2]) != strides:
            raise ValueError(f"{node['name']}: only kernels as large as the stride are translated")
        weight = self._weight(kernel_name, kernel.transpose(3, 2, 0, 1))
        self._emit("ConvTranspose", node["name"], [self._names[value], weight], strides=strides)

    def _average_pool(self, node: Node) -> None:
        self._emit(
            "AveragePool",
            node["name"],
            [self._names[node["input"][0]]],
            kernel_shape=_integers(node, "ksize")[1:3],
            strides=_integers(node, "strides")[1:3],
            **_padding(node),
        )

    def _double(self, node: Node) -> None:
        """Translate a resizing to twice the size: the only one in these graphs."""
        attributes = node["attr"]
        if not attributes["half_pixel_centers"]["b"] or attributes["align_corners"]["b"]:
            raise ValueError(f"{node['name']}: only half-pixel centres are translated")
        scales = self._weight("twice", np.array((2, 2)))
        self._emit(
            "Resize",
            node["name"],
            [self._names[node["input"][0]], "", scales],
            axes=[2, 3],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )


def _integers(node: Node, name: str) -> list[int]:
    return [int(number) for number in node["attr"][name]["list"]["i"]]


def _texts(node: Node, name: str) -> list[str]:
    values = node["attr"].get(name, {"list": {"s": []}})["list"]["s"]
    return [base64.b64decode(value).decode() for value in values]


def _padding(node: Node) -> dict[str, str]:
    same = base64.b64decode(node["attr"]["padding"]["s"]) == b"SAME"
    return {"auto_pad": SAME} if same else {}
