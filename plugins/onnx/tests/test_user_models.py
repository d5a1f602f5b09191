"""Models that users bring, each a small network that always gives one known answer."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image as PillowImage
from retinue_onnx.faces import OnnxFaceDetector, OnnxFaceOptions
from retinue_onnx.labels import OnnxLabelDetector, OnnxLabelOptions
from retinue_onnx.objects import ObjectDetector, ObjectOptions
from retinue_sdk import (
    ConfigurationError,
    DetectorNotReadyError,
    Findings,
    Image,
    InvalidImageError,
)

UserModel = Callable[..., Path]

LABELS = ("ant", "bee", "cicada")
BOX = (16.0, 24.0, 48.0, 40.0)
"""Left, top, right, bottom on a canvas of 64 × 64."""


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., Image]:
    def make(width: int = 128, height: int = 64, colour: str = "teal") -> Image:
        path = tmp_path / f"{width}-{height}-{colour}.png"
        PillowImage.new("RGB", (width, height), colour).save(path)
        return Image.from_file(path)

    return make


def started(model: Path, **options: Any) -> ObjectDetector:
    detector = ObjectDetector(ObjectOptions(model=model, **{"labels": LABELS, **options}))
    detector.start()
    return detector


def only(detector: ObjectDetector, image: Image) -> tuple[str, float, list[float]]:
    (result,) = detector.detect([image])
    assert isinstance(result, Findings)
    (detection,) = result.detections
    box = detection.box
    assert box is not None
    return detection.label, detection.confidence, [box.left, box.top, box.width, box.height]


LETTERBOXED = [0.25, 0.25, 0.5, 0.5]
"""``BOX`` in a picture of 128 × 64, which lies on rows 16 to 48 of the canvas."""

STRETCHED = [0.25, 0.375, 0.5, 0.25]


def rows(dtype: Any = np.float32) -> np.ndarray:
    return np.array([[[*BOX, 0.75, 2], [*BOX, 0.125, 1], [0, 0, 0, 0, 0, 0]]], dtype)


def counted() -> dict[str, np.ndarray]:
    return {
        "num_dets": np.array([[1]], np.int32),
        "det_boxes": np.array([[BOX, BOX]], np.float32),
        "det_scores": np.array([[0.75, 0.9]], np.float32),  # the second is filling
        "det_classes": np.array([[2, 1]], np.int32),
    }


def queries() -> dict[str, np.ndarray]:
    return {
        "labels": np.array([[1, 2]], np.int64),
        "boxes": np.array([[BOX, BOX]], np.float32),
        "scores": np.array([[0.125, 0.75]], np.float32),
    }


def heads(classes: int = 3, bins: int = 8, strides: tuple[int, ...] = (8, 16, 32)) -> list[Any]:
    """For each stride scores and bins: one object, at cell (2, 1) of stride 16, two cells wide."""
    pairs = []
    for stride in strides:
        cells = (64 // stride) ** 2
        scores = np.zeros((1, cells, classes), np.float32)
        distances = np.zeros((1, cells, 4, bins), np.float32)
        if stride == 16:
            scores[0, 6, 2] = 0.75
            distances[0, 6, :, 1] = 100  # one stride to each side
        pairs.append((scores, distances.reshape(1, cells, 4 * bins)))
    return pairs


NUMBERED = np.array([[0, *BOX, 2, 0.75], [0, *BOX, 1, 0.125]], np.float32)

END_TO_END: dict[str, tuple[Mapping[str, np.ndarray], list[float]]] = {
    "rows": ({"output0": rows()}, LETTERBOXED),
    "numbered-rows": ({"output": NUMBERED}, LETTERBOXED),
    "counted-rows": (counted(), LETTERBOXED),
    "queries": (queries(), STRETCHED),
}


@pytest.mark.parametrize("layout", END_TO_END)
def test_end_to_end_models_are_recognised(
    user_model: UserModel, picture: Callable[..., Image], layout: str
) -> None:
    outputs, box = END_TO_END[layout]
    detector = started(user_model(outputs, sizes_input=layout == "queries"))
    (result,) = detector.detect([picture()])
    assert isinstance(result, Findings)
    assert isinstance(result.raw_response, dict)
    assert result.raw_response["layout"] == layout
    label, confidence, found = only(detector, picture())
    assert (label, confidence) == ("cicada", 0.75)
    assert found == pytest.approx(box, abs=1e-6)


def test_the_way_of_resizing_can_be_chosen(
    user_model: UserModel, picture: Callable[..., Image]
) -> None:
    stretched = started(user_model({"output0": rows()}), resize="stretch")
    assert only(stretched, picture())[2] == pytest.approx(STRETCHED)
    letterboxed = started(user_model(queries()), resize="letterbox")
    assert only(letterboxed, picture())[2] == pytest.approx(LETTERBOXED)


def test_a_label_can_have_its_own_threshold(
    user_model: UserModel, picture: Callable[..., Image]
) -> None:
    path = user_model({"output0": rows()})  # cicada 0.75, bee 0.125
    own = {"thresholds": '{"cicada": 0.8, "bee": 0.1}'}
    trained = user_model({"output0": rows()}, metadata=own, name="trained")
    for model, options, labels in [
        (path, {}, {"cicada"}),
        (path, {"thresholds": {"bee": 0.1}}, {"cicada", "bee"}),
        (path, {"thresholds": {"cicada": 0.8, "bee": 0.1}}, {"bee"}),
        (trained, {}, {"bee"}),
        (trained, {"threshold": 0.45}, {"cicada"}),
        (trained, {"thresholds": {"cicada": 0.7}}, {"bee", "cicada"}),
        (trained, {"threshold": 0, "thresholds": {"cicada": 0.8}}, {"bee", "ant"}),
    ]:
        (result,) = started(model, **options).detect([picture()])
        assert isinstance(result, Findings)
        assert {found.label for found in result.detections} == labels, options
    with pytest.raises(ConfigurationError, match=r"^option thresholds: .* no label wasp; .* ant"):
        started(path, thresholds={"wasp": 0.5})


def test_half_precision_models_work(user_model: UserModel, picture: Callable[..., Image]) -> None:
    path = user_model({"output0": rows(np.float16)}, dtype=TensorProto.FLOAT16)
    assert only(started(path), picture())[0] == "cicada"


NANODET_BOX = [(24 - 0) / 64, (8 - 16) / 32, 0.5, 1.0]
"""Around the middle (40, 24) of that cell, 16 pixels to each side; the picture starts at row 16."""


@pytest.mark.parametrize("order", ["pairs", "scores first", "reversed"])
def test_nanodet_heads_are_paired_in_any_order(
    user_model: UserModel, picture: Callable[..., Image], order: str
) -> None:
    pairs = heads()
    arrays = [array for pair in pairs for array in pair]
    if order == "scores first":
        arrays = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
    elif order == "reversed":
        arrays.reverse()
    path = user_model({f"output_{index}": array for index, array in enumerate(arrays)})
    label, confidence, box = only(started(path), picture())
    assert (label, confidence) == ("cicada", 0.75)
    assert box == pytest.approx(NANODET_BOX)


def test_nanodet_in_one_output_is_recognised(
    user_model: UserModel, picture: Callable[..., Image]
) -> None:
    whole = np.concatenate([np.concatenate(pair, axis=2) for pair in heads()], axis=1)
    assert only(started(user_model({"output": whole})), picture())[2] == pytest.approx(NANODET_BOX)


def test_nanodet_plus_measures_from_the_corner_of_a_cell(
    user_model: UserModel, picture: Callable[..., Image]
) -> None:
    pairs = heads(strides=(8, 16, 32, 64))
    whole = np.concatenate([np.concatenate(pair, axis=2) for pair in pairs], axis=1)
    box = only(started(user_model({"output": whole})), picture())[2]
    assert box == pytest.approx([16 / 64, (0 - 16) / 32, 0.5, 1.0])


def test_a_fixed_batch_is_filled_up(user_model: UserModel, picture: Callable[..., Image]) -> None:
    detector = started(user_model({"output0": np.repeat(rows(), 2, axis=0)}, shape=(2, 3, 64, 64)))
    results = detector.detect([picture() for _ in range(5)])
    assert [len(r.detections) for r in results if isinstance(r, Findings)] == [1] * 5


@pytest.mark.parametrize(("images", "said"), [(1, True), (2, False)])
def test_a_fixed_batch_that_is_never_full_is_told(
    user_model: UserModel, caplog: pytest.LogCaptureFixture, images: int, said: bool
) -> None:
    path = user_model({"output0": np.repeat(rows(), 2, axis=0)}, shape=(2, 3, 64, 64))
    started(path, max_batch_size=images)
    assert ("set the option max_batch_size to 2" in caplog.text) == said


def test_an_open_batch_is_tried_if_the_options_allow_batches(
    user_model: UserModel, picture: Callable[..., Image]
) -> None:
    """torchvision's detectors answer for the first image of a batch."""
    shape = ("N", 3, 64, 64)
    first = {"17": np.array([BOX], np.float32), "25": np.array([3], np.int64),
             "31": np.array([0.75], np.float32)}  # fmt: skip
    for number, outputs in enumerate(({"output0": rows()}, first)):
        path = user_model(outputs, shape=shape, name=f"first-{number}")
        assert only(started(path), picture())[0] == "cicada"
        with pytest.raises(ConfigurationError, match=r"^option max_batch_size: .* one image; set"):
            started(path, max_batch_size=2)
    classifier = user_model({"logits": np.eye(1, 3, dtype=np.float32)}, shape=shape, name="labels")
    options = {"model": classifier, "labels": LABELS, "pixels": "0-1", "resize": "stretch",
               "scores": "logits"}  # fmt: skip
    OnnxLabelDetector(OnnxLabelOptions(**options)).start()
    with pytest.raises(ConfigurationError, match=r"^option max_batch_size: .* one image; set"):
        OnnxLabelDetector(OnnxLabelOptions(**options, max_batch_size=2)).start()


def test_an_open_size_is_that_of_the_export(
    user_model: UserModel, picture: Callable[..., Image]
) -> None:
    path = user_model(
        {"output0": rows()}, shape=("N", 3, "H", "W"), metadata={"imgsz": "[320, 416]"}
    )
    square = user_model(
        {"output0": rows()}, shape=("N", 3, "H", "W"), metadata={"imgsz": "96"}, name="square"
    )
    for model, side_px, size in [
        (path, None, [320, 416]),
        (path, 96, [96, 96]),
        (square, None, [96, 96]),
    ]:
        (result,) = started(model, input_side_px=side_px).detect([picture()])
        assert isinstance(result, Findings)
        assert isinstance(result.raw_response, dict)
        assert result.raw_response["input"] == size


@pytest.mark.parametrize(
    ("shape", "metadata"),
    [
        (("N", 3, "H", "W"), {"imgsz": "[100000, 100000]"}),
        ((100_000_000, 3, 64, 64), {}),
    ],
    ids=["metadata", "batch"],
)
def test_a_huge_input_is_refused(
    user_model: UserModel, shape: tuple[int | str, ...], metadata: dict[str, str]
) -> None:
    path = user_model({"output0": rows()}, shape=shape, metadata=metadata)
    with pytest.raises(ConfigurationError, match=r"at most 67 million pixels; export it again"):
        started(path)


def test_numbers_that_no_export_writes_are_ignored(
    user_model: UserModel, picture: Callable[..., Image]
) -> None:
    metadata = {"imgsz": "9" * 5_000, "task": "pose", "kpt_shape": "9" * 5_000}
    path = user_model({"output0": rows()}, shape=("N", 3, "H", "W"), metadata=metadata)
    assert only(started(path), picture())[0] == "cicada"


def test_an_open_size_is_filled_in(user_model: UserModel, picture: Callable[..., Image]) -> None:
    path = user_model({"output0": rows()}, shape=("N", 3, "H", "W"))
    for side_px in (None, 320):
        (result,) = started(path, input_side_px=side_px).detect([picture()])
        assert isinstance(result, Findings)
        assert isinstance(result.raw_response, dict)
        assert result.raw_response["input"] == [side_px or 640] * 2


def test_labels_inside_the_model_are_used(
    user_model: UserModel, picture: Callable[..., Image]
) -> None:
    for names in ("{0: 'x', 1: 'y', 2: 'zebu'}", '{"0": "x", "1": "y", "2": "zebu"}'):
        path = user_model({"output0": rows()}, metadata={"names": names})
        detector = ObjectDetector(ObjectOptions(model=path))
        detector.start()
        assert only(detector, picture())[0] == "zebu"


@pytest.mark.parametrize(
    ("labels", "metadata", "origin"),
    [
        (LABELS, {}, "the option"),
        (None, {"names": "{0: 'x', 1: 'y', 2: 'zebu'}"}, "the file's metadata"),
        (None, {}, "COCO"),
    ],
)
def test_the_origin_of_the_labels_is_told(
    user_model: UserModel,
    caplog: pytest.LogCaptureFixture,
    labels: Any,
    metadata: dict[str, str],
    origin: str,
) -> None:
    detector = started(user_model({"output0": rows()}, metadata=metadata), labels=labels)
    assert detector.describe()["labels of"] == origin
    assert ("set the option labels" in caplog.text) == (origin == "COCO")


def test_as_many_labels_are_needed_as_in_the_metadata(
    user_model: UserModel, picture: Callable[..., Image]
) -> None:
    path = user_model({"output0": rows()}, metadata={"names": "{0: 'x', 1: 'y', 2: 'zebu'}"})
    assert only(started(path), picture())[0] == "cicada"
    with pytest.raises(
        ConfigurationError, match=r"^option labels: .* 3 labels \(x … zebu\), but 2"
    ):
        started(path, labels=("ant", "bee"))
    unreadable = user_model({"output0": rows()}, metadata={"names": "x, y"})
    assert only(started(unreadable), picture())[0] == "cicada"


def test_labels_may_lie_in_a_file(
    user_model: UserModel, picture: Callable[..., Image], tmp_path: Path
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("ant\nbee\nköcherfliege\n", encoding="utf-8")
    options = ObjectOptions(model=user_model({"output0": rows()}), labels=labels)
    detector = ObjectDetector(options)
    detector.start()
    assert only(detector, picture())[0] == "köcherfliege"
    before = detector.fingerprint()
    labels.write_text("ant\nbee\ncaddisfly\n", encoding="utf-8")
    assert ObjectDetector(options).fingerprint() != before


def test_too_few_labels_stop_the_detector_and_blame_no_image(
    user_model: UserModel, picture: Callable[..., Image]
) -> None:
    path = user_model({"output0": rows()})
    detector = ObjectDetector(ObjectOptions(model=path, labels=("ant", "bee")))
    detector.start()
    with pytest.raises(DetectorNotReadyError, match=r"onnx-objects: option labels: .* class 2"):
        detector.detect([picture()])


def test_not_a_number_fails_that_image_alone(
    user_model: UserModel, picture: Callable[..., Image]
) -> None:
    path = user_model({"output0": rows()}, shape=("N", 3, 64, 64), blackout=True)
    detector = started(path, resize="stretch")
    (white,) = detector.detect([picture(colour="white")])
    assert isinstance(white, InvalidImageError)
    assert white.code == "not_a_number"
    white, black = detector.detect([picture(colour="white"), picture(colour="black")])
    assert isinstance(white, InvalidImageError)
    assert isinstance(black, Findings)


@pytest.mark.parametrize(
    "outputs",
    [
        {"output0": np.zeros((1, 83, 90), np.float32)},
        {"boxes": np.zeros((1, 9, 4), np.float32), "logits": np.zeros((1, 9, 3), np.float32)},
        {"output0": np.zeros((1, 39, 84), np.float32), "output1": np.zeros((1, 32), np.float32)},
    ],
    ids=["a row too few", "unknown names", "segmentation"],
)  # fmt: skip
def test_other_outputs_are_refused_with_what_would_do(
    user_model: UserModel, outputs: dict[str, np.ndarray]
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        started(user_model(outputs))
    message = str(refused.value)
    assert message.startswith("option model: its outputs are not understood")
    assert all(name in message for name in outputs)
    assert all(word in message for word in ("NanoDet", "RT-DETR", "YOLO", "num_dets"))


def test_other_inputs_are_refused(user_model: UserModel) -> None:
    with pytest.raises(ConfigurationError, match=r"inputs are not understood. Found: images"):
        started(user_model({"output0": rows()}, shape=(1, 64, 64, 4)))


def bad_files(write: UserModel) -> dict[str, tuple[Path, str]]:
    """Files that can't work, each with what its error says."""
    whole = write({"output0": rows()})
    folder = whole.parent
    cut, huge, apart = folder / "cut.onnx", folder / "huge.onnx", folder / "apart.onnx"
    cut.write_bytes(whole.read_bytes()[:-20])
    with huge.open("wb") as file:
        file.truncate(2**31)  # sparse: it takes no room
    large = onnx.numpy_helper.from_array(np.ones(1024, np.float32), "large")
    model = onnx.load(whole)
    model.graph.initializer.append(large)
    onnx.save_model(model, apart, save_as_external_data=True, location="apart.weights")
    (folder / "apart.weights").unlink()

    def other(name: str, outputs: dict[str, np.ndarray], **network: Any) -> Path:
        return write(outputs, **network).rename(folder / f"{name}.onnx")

    outside = with_weights(whole, "../../etc/passwd")
    texts = {name: folder / f"{name}.onnx" for name in ("empty", "page", "pointer")}
    texts["pointer"].write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n")
    texts["empty"].write_bytes(b"")
    texts["page"].write_text("<html>Please log in</html>")
    nan, infinite = (np.full_like(rows(), number) for number in (np.nan, np.inf))
    return {
        "cut short": (cut, r"model: .*isn't an ONNX file, or is incomplete"),
        "2 GB": (huge, r"model: .*2\.1 GB, and an ONNX file can have at most"),
        "a folder": (folder, r"model: .* is not a file"),
        "external data": (
            apart, r"model: .*second file \(apart\.weights\), which isn't in .*onnx\.save_model",
        ),
        "new operators": (
            other("new", {"output0": rows()}, opset=99), r"model: .*older operator set",
        ),
        "any axes": (
            other("any", {"output0": rows()}, shape=("N", "C", "H", "W")), r"axes: .*nchw or nhwc",
        ),
        "NaN": (other("nan", {"output0": nan}), r"model: .*black image with NaN.*float32"),
        "infinity": (other("inf", {"output0": infinite}), r"model: .*NaN or infinity.*float32"),
        "empty": (texts["empty"], r"model: .*isn't an ONNX file, or is incomplete"),
        "a web page": (texts["page"], r"model: .*isn't an ONNX file, or is incomplete"),
        "a pointer of Git LFS": (texts["pointer"], r"model: .*`git lfs pull`"),
        "grey": (
            other("grey", {"output0": rows()}, shape=(1, 1, 64, "width")),
            r"model: its inputs are not understood.*width.*\(N, 3, height, width\)",
        ),
        "an unknown operator": (
            other("unknown", {"output0": rows()}, operator="Frobnicate"),
            r"model: .*operators that ONNX Runtime doesn't have",
        ),
        "half of half precision": (
            halfway(folder), r"model: .*converted to half precision and others not: use the model",
        ),
        "an operator of TensorRT": (
            other("trt", {"output0": rows()}, operator="EfficientNMS_TRT"),
            r"model: .*operators that ONNX Runtime doesn't have",
        ),
        "a path outside": (outside, r"model: .*second file \(\.\./\.\./etc"),
        "double precision": (
            other("double", {"output0": rows()}, dtype=TensorProto.DOUBLE),
            r"model: its inputs are not understood.*double.*Export it with",
        ),
        "a larger input than memory": (
            other("large", {"output0": rows()}, shape=(1, 3, 100_000, 100_000)),
            r"model: its input has 100,000 × 100,000 pixels .* smaller input",
        ),
        "false labels": (
            other("false", heads_as_one(), metadata={"names": "{0: 'x', 1: 'y'}"}),
            r"labels: .*3 classes \(ultralytics\), but there are 2 labels",
        ),
        "unreadable labels": (
            other("unreadable", {"output0": rows()}, metadata={"names": "x, y"}),
            r"labels: .*can't be read: names=x, y",
        ),
    }  # fmt: skip


def test_weights_in_files_beside_the_model_are_read(
    user_model: UserModel, picture: Callable[..., Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = user_model({"output0": np.pad(rows(), ((0, 0), (0, 60), (0, 0)))})
    path, weights = whole.with_name("apart.onnx"), whole.with_name("apart.onnx.data")
    onnx.save_model(onnx.load(whole), path, save_as_external_data=True, location=weights.name)
    assert weights.stat().st_size > path.stat().st_size
    monkeypatch.chdir("/")  # where ONNX Runtime would look for them
    detector = started(path, fused=True)
    assert only(started(path, threshold=0.7), picture()) == only(
        started(whole, threshold=0.7), picture()
    )
    other = np.fromfile(weights, np.float32)
    other[5] = 1
    other.tofile(weights)
    with pytest.raises(ConfigurationError, match="changed while the worker was starting"):
        detector.start()
    assert ObjectDetector(ObjectOptions(model=path)).fingerprint() != detector.fingerprint()
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(ConfigurationError, match=r"^option model: the weights .* are incomplete"):
        started(path)


def halfway(folder: Path) -> Path:
    """Return a model whose output is declared as float16, while its operator copies float32."""
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 64, 64))]
    outputs = [helper.make_tensor_value_info("copy", TensorProto.FLOAT16, (1, 3, 64, 64))]
    node = helper.make_node("Identity", ["images"], ["copy"])
    model = helper.make_model(
        helper.make_graph([node], "halfway", inputs, outputs),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    path = folder / "halfway.onnx"
    onnx.save(model, path)
    return path


def with_weights(path: Path, location: str) -> Path:
    """Return a copy of a model with a weight in another file; the path isn't the first entry."""
    model = onnx.load(path)
    weight = onnx.numpy_helper.from_array(np.ones(4, np.float32), "outside")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("offset", "0"), ("location", location), ("length", "99999999999")):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    model.graph.initializer.append(weight)
    copy = path.parent / "outside.onnx"
    copy.write_bytes(model.SerializeToString())
    return copy


def heads_as_one() -> dict[str, np.ndarray]:
    return {"output0": np.zeros((1, 7, 84), np.float32)}


def test_bad_files_are_refused_with_the_option_and_the_remedy(user_model: UserModel) -> None:
    for name, (path, said) in bad_files(user_model).items():
        with pytest.raises(ConfigurationError) as refused:
            started(path, labels=None)
        assert re.search(rf"^option {said}", str(refused.value), re.DOTALL), name


def test_the_order_of_the_axes_can_be_set(
    user_model: UserModel, picture: Callable[..., Image]
) -> None:
    path = user_model({"output0": rows()}, shape=("N", "C", "H", "W"))
    assert only(started(path, axes="nhwc", input_side_px=64), picture())[2] == LETTERBOXED


def test_a_size_of_0_is_refused_with_a_remedy_that_works(
    user_model: UserModel, picture: Callable[..., Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = user_model({"output0": rows()}, shape=(0, 3, 0, 64), name="model")
    monkeypatch.chdir(path.parent)
    with pytest.raises(ConfigurationError) as refused:
        started(path)
    assert str(refused.value).startswith("option model: the shape [0, 3, 0, 64] of its input")
    exec(str(refused.value).split("\n", 1)[1])
    opened = started(path.with_name("open.onnx"), input_side_px=64)
    assert only(opened, picture())[2] == LETTERBOXED


def test_a_size_that_the_model_does_not_take_is_refused(user_model: UserModel) -> None:
    with pytest.raises(ConfigurationError, match=r"option input_side_px: .* 64 × 64"):
        started(user_model({"output0": rows()}), input_side_px=320)


def test_faces_need_centerface(user_model: UserModel) -> None:
    path = user_model({"output0": rows()})
    with pytest.raises(ConfigurationError, match=r"^option model: .* CenterFace"):
        OnnxFaceDetector(OnnxFaceOptions(model=path)).start()
