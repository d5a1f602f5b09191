"""Weights in files beside an ONNX file, as PyTorch's exporter writes them (``model.onnx.data``).

The format is that of https://onnx.ai/onnx/repo-docs/ExternalData.html.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

LOCATION = b"\x0a\x08location\x12"
"""The key of an entry of ``external_data`` in a tensor, and the tag of its value (onnx.proto)."""


def weight_files(model: bytes) -> list[str]:
    """Return the names of the files with a model's weights, as the model writes them.

    A file that can't be parsed has none.
    """
    if LOCATION not in model:  # which takes a fraction of parsing it
        return []
    import onnx

    try:
        network = onnx.load_model_from_string(model)
    except Exception:  # noqa: BLE001 - of protobuf; ONNX Runtime's message is better
        return []
    return list(dict.fromkeys(_entries(tensor)["location"] for tensor in _external(network)))


def with_weights(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return a model with the weights of other files inside.

    Args:
        model: The ONNX file.
        files: The contents of all ``weight_files``.

    Raises:
        ValueError: A file is shorter than the model says.
    """
    import onnx

    network = onnx.load_model_from_string(model)
    for tensor in _external(network):
        entries = _entries(tensor)
        data = files[entries["location"]]
        start = int(entries.get("offset", 0))
        length = int(entries.get("length", len(data) - start))
        if start < 0 or length < 0 or start + length > len(data):
            raise ValueError(
                f"{entries['location']} has {len(data):,} bytes, and the weight {tensor.name} "
                f"needs {length:,} from byte {start:,}"
            )
        tensor.raw_data = data[start : start + length]
        tensor.ClearField("external_data")
        tensor.data_location = onnx.TensorProto.DEFAULT
    return bytes(network.SerializeToString())


def _external(network: "ModelProto") -> "Iterator[TensorProto]":
    import onnx

    nodes = [node for function in network.functions for node in function.node]
    for tensor in [*_of_graph(network.graph), *_of_nodes(nodes)]:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield tensor


def _of_graph(graph: "GraphProto") -> "Iterator[TensorProto]":
    yield from graph.initializer
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: "Iterable[NodeProto]") -> "Iterator[TensorProto]":
    for node in nodes:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for graph in [attribute.g, *attribute.graphs]:
                yield from _of_graph(graph)


def _entries(tensor: "TensorProto") -> dict[str, str]:
    return {"location": "", **{entry.key: entry.value for entry in tensor.external_data}}
