"""Store PaddleOCR's networks with smaller weights.

Their exporter wrote each weight as the node ``Constant``. As initialisers they can be stored as
float16, like those of the other networks.
"""

import onnx
from half_precision import halved
from onnx import TensorProto, helper, numpy_helper


def smaller(
    source: onnx.ModelProto, *, name: str, sizes: list[str | int], doc: str
) -> onnx.ModelProto:
    """Return the network with float16 weights, and with its input and output named.

    Args:
        source: The network, with one input and one output.
        name: The output's name.
        sizes: Batch, channels, height and width of the input ``image``.
        doc: The model's description.
    """
    graph = source.graph
    constants = [node for node in graph.node if node.op_type == "Constant"]
    for node in constants:
        array = numpy_helper.to_array(node.attribute[0].t)
        graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
    names = {graph.input[0].name: "image", graph.output[0].name: name}
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    for node in nodes:
        node.input[:] = [names.get(value, value) for value in node.input]
        node.output[:] = [names.get(value, value) for value in node.output]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, sizes)
    dimensions = len(graph.output[0].type.tensor_type.shape.dim)
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * dimensions)
    result = helper.make_graph(nodes, graph.name, [image], [output], initializer=graph.initializer)
    halved(result)
    model = helper.make_model(
        result,
        producer_name="retinue-onnx",
        doc_string=doc,
        opset_imports=source.opset_import,
        ir_version=source.ir_version,
    )
    helper.set_model_props(model, {entry.key: entry.value for entry in source.metadata_props})
    return model
