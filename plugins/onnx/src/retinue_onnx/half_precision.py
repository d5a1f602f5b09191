"""Convert a network to float16, for GPUs that compute faster with it."""

from retinue_sdk import ConfigurationError


def halved(model: bytes) -> bytes:
    """Return a network that computes with float16. Its inputs and outputs keep their types.

    ONNX Runtime's converter leaves operators that have no float16 form as they are.

    Raises:
        ConfigurationError: The network can't be converted.
    """
    import onnx

    from retinue_onnx.session import runtime

    runtime()  # without a report to Microsoft
    from onnxruntime.transformers.float16 import (  # type: ignore[import-untyped]
        convert_float_to_float16,
    )

    try:
        network = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model))
        converted = convert_float_to_float16(network, keep_io_types=True, disable_shape_infer=True)
        return bytes(converted.SerializeToString())
    except Exception as error:  # of onnx, of protobuf, and those of a converter for any graph
        raise ConfigurationError(
            f"option half_precision: the model can't be converted to float16 ({error}); leave the "
            "option out, or export the model with half precision"
        ) from error
