"""Build EfficientNet-lite0 in ONNX from its PyTorch weights.

The network is a row of inverted bottlenecks (https://arxiv.org/abs/1905.11946) without squeeze and
excitation and with ReLU6
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite). The weights'
shapes tell the kernels and channels; only the strides are written here. Padding is TensorFlow's
"SAME". Each batch normalisation is folded into its convolution.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
State = Mapping[str, Array]

SIDE_PX = 224
CLASSES = 1_000
FEATURES = 1_280

BLOCKS = 16
HALVING = (1, 3, 5, 11)
"""The blocks with stride 2."""

EPSILON = 1e-3
"""Of the batch normalisations (``efficientnet_lite_builder.py``)."""


def efficientnet_lite(state: State) -> onnx.GraphProto:
    """Return the graph.

    Input ``image``: (N, 3, 224, 224) float32. Outputs: ``probabilities`` (N, 1000) after softmax,
    and ``features`` (N, 1280), the mean of the last feature map.
    """
    graph = _Graph(state)
    value, side = "image", SIDE_PX
    value, side = graph.conv(value, "_conv_stem", "_bn0", side=side, stride=2)
    for number in range(BLOCKS):
        block = f"_blocks.{number}"
        stride = 2 if number in HALVING else 1
        start = value
        if f"{block}._expand_conv.weight" in state:
            value, side = graph.conv(value, f"{block}._expand_conv", f"{block}._bn0", side=side)
        value, side = graph.conv(
            value, f"{block}._depthwise_conv", f"{block}._bn1", side=side, stride=stride
        )
        value, side = graph.conv(
            value, f"{block}._project_conv", f"{block}._bn2", side=side, relu=False
        )
        project, before = (
            f"{block}._project_conv.weight",
            f"_blocks.{number - 1}._project_conv.weight",
        )
        if number and stride == 1 and state[project].shape[0] == state[before].shape[0]:
            value = graph.node("Add", [value, start], f"{block}/sum")
    value, side = graph.conv(value, "_conv_head", "_bn1", side=side)
    pooled = graph.node("GlobalAveragePool", [value], "pooled")
    graph.node("Flatten", [pooled], "features")
    weight, bias = (graph.weight(name, state[name]) for name in ("_fc.weight", "_fc.bias"))
    logits = graph.node("Gemm", ["features", weight, bias], "logits", transB=1)
    graph.node("Softmax", [logits], "probabilities", axis=1)
    return graph.finished()


class _Graph:
    """The nodes and weights so far."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def weight(self, name: str, array: Array) -> str:
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def conv(
        self, value: str, conv: str, norm: str, *, side: int, stride: int = 1, relu: bool = True
    ) -> tuple[str, int]:
        """Add a convolution without bias, its normalisation and ReLU6.

        Returns:
            The name of the output, and its side in pixels.
        """
        kernel = self._state[f"{conv}.weight"]
        scale, bias, mean, variance = (
            self._state[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = scale / np.sqrt(variance + EPSILON)
        folded = (kernel * scale[:, None, None, None]).astype(np.float32)
        size = kernel.shape[2]
        after = -(-side // stride)
        padding = max((after - 1) * stride + size - side, 0)  # of both edges; the end gets more
        inputs = [
            value,
            self.weight(f"{conv}.weight", folded),
            self.weight(f"{conv}.bias", (bias - mean * scale).astype(np.float32)),
        ]
        output = self.node(
            "Conv",
            inputs,
            conv,
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[padding // 2] * 2 + [padding - padding // 2] * 2,
            group=kernel.shape[0] if kernel.shape[1] == 1 else 1,
        )
        if relu:
            low, high = ("zero", "six")
            if not any(weight.name == low for weight in self._weights):
                self.weight(low, np.float32(0))
                self.weight(high, np.float32(6))
            output = self.node("Clip", [output, low, high], f"{conv}/relu6")
        return output, after

    def finished(self) -> onnx.GraphProto:
        image = helper.make_tensor_value_info(
            "image", TensorProto.FLOAT, ["N", 3, SIDE_PX, SIDE_PX]
        )
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])
            for name, width in (("probabilities", CLASSES), ("features", FEATURES))
        ]
        return helper.make_graph(
            self._nodes, "efficientnet-lite0", [image], outputs, initializer=self._weights
        )
