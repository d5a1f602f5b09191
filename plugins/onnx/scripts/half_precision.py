"""Build ONNX graphs whose weights are stored as float16 and computed with as float32.

ONNX Runtime casts such a weight once, when it loads the model, so that a file has half the size and
the network the same speed.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALLEST = 2_000
"""Arrays with fewer numbers stay float32: they save little, and some have huge numbers."""

Array = npt.NDArray[Any]


def halved(graph: onnx.GraphProto) -> None:
    """Store the float32 initialisers of a graph as float16, each with a cast to float32.

    Raises:
        ValueError: A number is too large for float16.
    """
    casts = []
    for weight in graph.initializer:
        array = numpy_helper.to_array(weight)
        if array.dtype != np.float32 or array.size < SMALLEST:
            continue
        stored = as_half(weight.name, array)
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(stored, f"{name}/stored"))
        casts.append(
            helper.make_node(
                "Cast", [weight.name], [name], name=f"{name}/cast", to=TensorProto.FLOAT
            )
        )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def as_half(name: str, array: Array) -> Array:
    """Return an array as float16.

    Raises:
        ValueError: A number is too large for float16.
    """
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if not np.isfinite(half).all():
        raise ValueError(f"{name}: {np.abs(array).max()} is too large for float16")
    return half
