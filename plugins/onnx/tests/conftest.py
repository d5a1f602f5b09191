"""Photographs inside installed packages, and detectors that are ready."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from retinue_onnx.faces import OnnxFaceDetector, OnnxFaceOptions
from retinue_onnx.labels import OnnxLabelDetector, OnnxLabelOptions
from retinue_onnx.moderation import OnnxModerationDetector, OnnxModerationOptions
from retinue_onnx.objects import ObjectDetector, ObjectOptions
from retinue_onnx.poses import OnnxPoseDetector, OnnxPoseOptions
from retinue_onnx.segments import OnnxSegmentDetector, OnnxSegmentOptions
from retinue_onnx.text import OnnxTextDetector, OnnxTextOptions
from retinue_sdk import Image

Photograph = Callable[[str], Image]
UserModel = Callable[..., Path]

_FOLDERS = {
    "skimage": "data",
    "sklearn": "datasets/images",
    "matplotlib": "mpl-data/sample_data",
}


@pytest.fixture
def photograph_path() -> Callable[[str], Path]:
    def find(name: str) -> Path:
        for package, folder in _FOLDERS.items():
            found = find_spec(package)  # without importing it, which takes seconds
            assert found is not None
            path = Path(str(found.origin)).parent / folder / name
            if path.exists():
                return path
        raise FileNotFoundError(name)

    return find


@pytest.fixture
def photograph(photograph_path: Callable[[str], Path]) -> Photograph:
    return lambda name: Image.from_file(photograph_path(name))


def running(detector: Any) -> Iterator[Any]:
    detector.start()
    yield detector
    detector.close()


@pytest.fixture(scope="session")
def objects() -> Iterator[ObjectDetector]:
    yield from running(ObjectDetector(ObjectOptions()))


@pytest.fixture(scope="session")
def faces() -> Iterator[OnnxFaceDetector]:
    yield from running(OnnxFaceDetector(OnnxFaceOptions()))


@pytest.fixture(scope="session")
def labels() -> Iterator[OnnxLabelDetector]:
    yield from running(OnnxLabelDetector(OnnxLabelOptions(embedding=True)))


@pytest.fixture(scope="session")
def moderation() -> Iterator[OnnxModerationDetector]:
    yield from running(OnnxModerationDetector(OnnxModerationOptions(threshold=0)))


@pytest.fixture(scope="session")
def text() -> Iterator[OnnxTextDetector]:
    yield from running(OnnxTextDetector(OnnxTextOptions()))


@pytest.fixture(scope="session")
def segments() -> Iterator[OnnxSegmentDetector]:
    yield from running(OnnxSegmentDetector(OnnxSegmentOptions()))


@pytest.fixture(scope="session")
def poses() -> Iterator[OnnxPoseDetector]:
    yield from running(OnnxPoseDetector(OnnxPoseOptions()))


@pytest.fixture
def user_model(tmp_path: Path) -> UserModel:
    """Writes a network that answers with given arrays, whatever it sees."""

    def write(
        outputs: dict[str, np.ndarray],
        *,
        shape: tuple[int | str, ...] = (1, 3, 64, 64),
        dtype: int = TensorProto.FLOAT,
        sizes_input: bool = False,
        metadata: dict[str, str] | None = None,
        blackout: bool = False,
        opset: int = 17,
        name: str = "own",
        operator: str = "Identity",
    ) -> Path:
        """With ``blackout``, an image that is not black turns the first output into NaN."""
        inputs = [helper.make_tensor_value_info("images", dtype, shape)]
        nodes, weights, values = [], [], []
        if sizes_input:
            inputs.append(
                helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["N", 2])
            )
        if blackout:  # √−brightest is NaN for anything but black
            nodes += [
                helper.make_node("ReduceMax", ["images"], ["brightest"], keepdims=0),
                helper.make_node("Neg", ["brightest"], ["negative"]),
                helper.make_node("Sqrt", ["negative"], ["poison"]),
            ]
        for number, (output, array) in enumerate(outputs.items()):
            weights.append(numpy_helper.from_array(array, f"{output}_weight"))
            if blackout and number == 0:
                nodes.append(helper.make_node("Add", [f"{output}_weight", "poison"], [output]))
            else:
                nodes.append(helper.make_node(operator, [f"{output}_weight"], [output]))
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            values.append(helper.make_tensor_value_info(output, kind, [None] * array.ndim))
        model = helper.make_model(
            helper.make_graph(nodes, "synthetic", inputs, values, initializer=weights),
            opset_imports=[helper.make_opsetid("", opset)],
            ir_version=8,
        )
        helper.set_model_props(model, metadata or {})
        path = tmp_path / f"{name}.onnx"
        onnx.save(model, path)
        return path

    return write
