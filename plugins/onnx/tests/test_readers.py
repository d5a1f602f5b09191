"""Every export format: its outputs are recognised and read, and none is taken for another."""

import json
from collections.abc import Callable
from math import log
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto
from PIL import Image as PillowImage
from retinue_onnx import fused as fused_module
from retinue_onnx import suppression
from retinue_onnx.class_names import coco_id_names, coco_names
from retinue_onnx.fused import fused, read_rows
from retinue_onnx.objects import LayoutName, ObjectDetector, ObjectOptions
from retinue_onnx.readers.reader import Probe
from retinue_onnx.recognition import READERS, chosen_reader
from retinue_onnx.session import OnnxSession
from retinue_sdk import ConfigurationError, Findings, Image

UserModel = Callable[..., Path]
Outputs = dict[str, np.ndarray]

LABELS = ("ant", "bee", "cicada")
BOX = (8.0, 24.0, 40.0, 40.0)
"""Left, top, right, bottom on a canvas of 64 × 64: centre 24, 32, size 32, 16."""
RATIOS = (24 / 64, 32 / 64, 32 / 64, 16 / 64)

LETTERBOXED = [0.125, 0.25, 0.5, 0.5]
"""``BOX`` in a picture of 128 × 64, which lies on rows 16 to 48 of the canvas."""
TOP_LEFT = [0.125, 0.75, 0.5, 0.5]
STRETCHED = [0.125, 0.375, 0.5, 0.25]


def table(shape: tuple[int, ...], row: int, values: list[float]) -> np.ndarray:
    array = np.zeros(shape, np.float32)
    array[0, row] = values
    return array


def rows_with_objectness(count: int, sizes: tuple[float, float] = (32, 16)) -> Outputs:
    """A box whose score is 0.9375 × 0.8 = 0.75, and one that is below the threshold."""
    array = table((1, count, 8), 73, [24, 32, *sizes, 0.9375, 0, 0, 0.8])
    array[0, 5] = [50, 50, *sizes, 0.75, 0.5, 0, 0]
    return {"output": array}


def yolox() -> Outputs:
    """Cell (1, 2) of 16 pixels, after 64 cells of 8."""
    array = table((1, 84, 8), 73, [0.5, 0, log(2), log(1), 0.9375, 0, 0, 0.8])
    array[0, 5] = [0, 0, 0, 0, 0.75, 0.5, 0, 0]
    return {"output": array}


def transformer(logits: list[float], *, names: tuple[str, str]) -> Outputs:
    """The second of three queries finds something."""
    scores = np.full((1, 3, len(logits)), -10, np.float32)
    scores[0, :, 3:] = 10  # no object, where there is such a class
    scores[0, 1] = logits
    return {names[0]: scores, names[1]: table((1, 3, 4), 1, list(RATIOS))}


def picodet() -> Outputs:
    """From the middle of cell (1, 2) of 16 pixels, one cell to the left, the top and the right."""
    bins = np.full((4, 8), -20, np.float32)
    bins[(0, 1, 2, 3), (1, 1, 1, 0)] = 20
    scores = {f"scores {side}": np.zeros((1, side**2, 3), np.float32) for side in (8, 4, 2, 1)}
    distances = {f"bins {side}": np.zeros((1, side**2, 32), np.float32) for side in (8, 4, 2, 1)}
    scores["scores 4"][0, 9] = [0, 0.1, 0.75]
    distances["bins 4"][0, 9] = bins.reshape(-1)
    return scores | distances


HUGGING_FACE = ("logits", "pred_boxes")

CASES: dict[str, tuple[Outputs, list[float], dict[str, Any], dict[str, Any]]] = {
    "yolox": (yolox(), TOP_LEFT, {}, {}),
    "yolox-decoded": (rows_with_objectness(84), TOP_LEFT, {}, {"layout": "yolox-decoded"}),
    "yolov6": (rows_with_objectness(84), LETTERBOXED, {}, {"layout": "yolov6"}),
    "yolov5": (rows_with_objectness(252), LETTERBOXED, {}, {}),
    "ultralytics": (
        {"output0": table((1, 84, 7), 73, [24, 32, 32, 16, 0, 0.1, 0.75]).transpose(0, 2, 1)},
        LETTERBOXED, {}, {},
    ),
    "ultralytics-segments": (
        {"output0": np.concatenate(
            [table((1, 84, 7), 73, [24, 32, 32, 16, 0, 0.1, 0.75]), np.ones((1, 84, 32))], axis=2
         ).transpose(0, 2, 1).astype(np.float32),
         "output1": np.zeros((1, 32, 16, 16), np.float32)},
        LETTERBOXED, {}, {},
    ),
    "yolo-nas": (
        {"904": table((1, 84, 4), 73, [*BOX]), "913": table((1, 84, 3), 73, [0, 0.1, 0.75])},
        LETTERBOXED, {}, {},
    ),
    "yolo-nas-batch": (
        {"graph2_num_predictions": np.array([[2]], np.int64),
         "graph2_pred_boxes": np.array([[BOX, BOX, BOX]], np.float32),
         "graph2_pred_scores": np.array([[0.75, 0.1, 0.9]], np.float32),  # the last is filling
         "graph2_pred_classes": np.array([[2, 1, 0]], np.int64)},
        LETTERBOXED, {"dtype": TensorProto.UINT8}, {},
    ),
    "yolo-nas-flat": (
        {"graph2_flat_predictions": np.array([[0, *BOX, 0.75, 2], [0, *BOX, 0.1, 1],
                                              [1, *BOX, 0.9, 1]], np.float32)},
        LETTERBOXED, {"dtype": TensorProto.UINT8}, {},
    ),
    "picodet": (picodet(), STRETCHED, {}, {"layout": "picodet"}),
    # exp(log 9) ÷ (9 + 3) = 0.75, while sigmoid(log 9) = 0.9
    "detr": (transformer([0, 0, log(9), 0], names=HUGGING_FACE), STRETCHED, {}, {}),
    # sigmoid(log 3) = 0.75, while softmax gives 0.6
    "rt-detr-logits": (
        transformer([0, -3, log(3)], names=HUGGING_FACE), STRETCHED, {},
        {"layout": "rt-detr-logits", "threshold": 0.6},
    ),
    "deformable-detr": (
        transformer([0, -3, log(3)], names=HUGGING_FACE), STRETCHED, {},
        {"layout": "deformable-detr", "threshold": 0.6},
    ),
    "rf-detr": (
        transformer([0, -3, log(3)], names=("labels", "dets")), STRETCHED, {}, {"threshold": 0.6},
    ),
    "ultralytics-rt-detr": (
        {"output0": table((1, 3, 6), 1, [*RATIOS, 0.75, 2])}, STRETCHED, {}, {},
    ),
    "mmdeploy": (
        {"dets": np.array([[[*BOX, 0.75], [*BOX, 0.1]]], np.float32),
         "labels": np.array([[2, 1]], np.int64)},
        TOP_LEFT, {}, {},
    ),
    "tensorflow": (
        {"detection_anchor_indices": np.zeros((1, 2), np.float32),
         "detection_boxes": np.array([[[24 / 64, 8 / 64, 40 / 64, 40 / 64], [0, 0, 1, 1]]],
                                     np.float32),
         "detection_classes": np.array([[3, 1]], np.float32),
         "detection_scores": np.array([[0.75, 0.9]], np.float32),  # the second is filling
         "num_detections": np.array([1], np.float32),
         "raw_detection_boxes": np.zeros((1, 9, 4), np.float32)},
        STRETCHED, {"shape": (1, "h", "w", 3), "dtype": TensorProto.UINT8}, {"input_side_px": 64},
    ),
    "torchvision": (
        {"17": np.array([BOX, BOX], np.float32), "25": np.array([3, 1], np.int64),
         "31": np.array([0.75, 0.1], np.float32)},
        LETTERBOXED, {"shape": (3, 64, 64)}, {},
    ),
}  # fmt: skip

PREPARED: dict[str, tuple[float, float, float, float]] = {
    "yolox": (0, 200, 114, 114),
    "yolox-decoded": (0, 200, 114, 114),
    "yolov6": (200 / 255, 0, 114 / 255, 114 / 255),
    "yolov5": (200 / 255, 0, 114 / 255, 114 / 255),
    "ultralytics": (200 / 255, 0, 114 / 255, 114 / 255),
    "ultralytics-segments": (200 / 255, 0, 114 / 255, 114 / 255),
    "yolo-nas": (200 / 255, 0, 114 / 255, 114 / 255),
    "yolo-nas-batch": (200 / 255, 0, 114 / 255, 114 / 255),
    "yolo-nas-flat": (200 / 255, 0, 114 / 255, 114 / 255),
    "picodet": (1.307, -1.804, 1.307, 1.307),
    "detr": (1.307, -1.804, 1.307, 1.307),
    "rt-detr-logits": (200 / 255, 0, 200 / 255, 200 / 255),
    "deformable-detr": (1.307, -1.804, 1.307, 1.307),
    "rf-detr": (1.307, -1.804, 1.307, 1.307),
    "ultralytics-rt-detr": (200 / 255, 0, 200 / 255, 200 / 255),
    "mmdeploy": (-1.804, 1.307, 0.183, 0.183),
    "tensorflow": (200, 0, 200, 200),
    "torchvision": (200 / 255, 0, 0, 0),
}
"""First and last channel of red (200) in the picture, and the first channel at the bottom."""


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Image:
    path = tmp_path_factory.mktemp("pictures") / "red.png"
    PillowImage.new("RGB", (128, 64), (200, 0, 0)).save(path)
    return Image.from_file(path)


@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "reversed"])
@pytest.mark.parametrize("name", CASES)
def test_every_format_is_read(
    user_model: UserModel, picture: Image, name: str, reverse: bool
) -> None:
    outputs, box, network, options = CASES[name]
    outputs = dict(reversed(outputs.items())) if reverse else outputs
    detector = ObjectDetector(
        ObjectOptions(model=user_model(outputs, **network), labels=LABELS, **options)
    )
    detector.start()
    (result,) = detector.detect([picture])
    assert isinstance(result, Findings)
    assert isinstance(result.raw_response, dict)
    assert result.raw_response["layout"] == name
    (found,) = result.detections
    assert found.label == "cicada"
    assert found.confidence == pytest.approx(0.75, abs=1e-6)
    assert found.box is not None
    edges = [found.box.left, found.box.top, found.box.width, found.box.height]
    assert edges == pytest.approx(box, abs=1e-6)
    detector.close()


@pytest.mark.parametrize("name", PREPARED)
def test_every_format_has_its_familys_preprocessing(picture: Image, name: str) -> None:
    usual = next(reader for reader in READERS if reader.name == name).preprocessing
    canvas, placement = usual.place(picture, height=64, width=64)
    (prepared,) = usual.normalise(canvas[None])
    row = placement.top + placement.height // 2
    seen = (prepared[0, row, 32], prepared[2, row, 32], prepared[0, 63, 0], prepared[0, 63, 63])
    assert seen == pytest.approx(PREPARED[name], abs=1e-3)


FUSED = ("masks of YOLOv5", "nanodet", "yolox", "yolox-decoded", "yolov6", "yolov5", "ultralytics",
         "ultralytics-segments", "yolo-nas", "detr", "rt-detr-logits", "deformable-detr",
         "rf-detr")  # fmt: skip
"""Formats that are decoded in the network. The others are small, or change their size."""


def crowded(outputs: Outputs) -> Outputs:
    """Add noise: logits of which a sixth are above zero, and other numbers from 0 to 1."""
    random = np.random.default_rng(7)
    return {
        name: random.normal(-1, 3, array.shape).astype(np.float32)
        if name in ("logits", "labels")
        else (array + random.random(array.shape)).astype(np.float32)
        for name, array in outputs.items()
    }


@pytest.mark.parametrize("limit", [1_000, 7])
@pytest.mark.parametrize("name", FUSED)
def test_a_head_in_the_network_finds_what_numpy_finds(
    monkeypatch: pytest.MonkeyPatch, user_model: UserModel, name: str, limit: int
) -> None:
    """Boxes agree to 1e-3 pixels of 64, which is float32's precision after e to the power of 8."""
    monkeypatch.setattr(fused_module, "MAX_ROWS", limit)
    if name == "nanodet":
        outputs, network, options = {"output": zeros(1, 84, 3 + 32)}, {}, {}
    else:
        outputs, _, network, options = CASES.get(name) or (VARIANTS[name][1], [], {}, {})
    path = user_model(crowded(outputs), **network)
    detector = ObjectDetector(ObjectOptions(model=path, labels=LABELS, **options))
    detector.start()
    session, layout = OnnxSession(path.read_bytes()), detector._recognised
    answers = session.probe(height=64, width=64)
    model = fused(
        path.read_bytes(), session, layout.preprocessing,
        reader=layout.reader, shapes=[answer.shape for answer in answers],
    )  # fmt: skip
    runtime = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    canvases = np.zeros((1, 64, 64, 3), np.uint8)
    rows, sums = runtime.run(None, {fused_module.CANVASES: canvases})
    assert rows.shape[1:] == (min(limit, rows.shape[1]), 6)
    assert np.isfinite(sums).all()
    monkeypatch.setattr(suppression, "MAX_CANDIDATES", limit)
    expected = layout.reader.read_one(answers, 0, 0.4).best_first(limit)
    [found] = read_rows(rows, 0.4, layout.reader.MAX_IOU)
    assert len(expected) >= 2
    assert found.classes.tolist() == expected.classes.tolist()
    assert found.scores == pytest.approx(expected.scores, abs=1e-6)
    assert found.boxes == pytest.approx(expected.boxes, rel=1e-5, abs=1e-3)


POINTS = [1.5] * 51
"""17 keypoints with x, y and confidence."""

MASKS = {"output1": np.zeros((1, 32, 16, 16), np.float32)}

POSES = {"task": "pose", "kpt_shape": "[17, 3]", "names": str(dict(enumerate(LABELS)))}

VARIANTS: dict[str, tuple[str, Outputs, dict[str, str]]] = {
    # Cells of 16 and 32 pixels, of 4 to 32, and of 8 to 64.
    "tiny": (
        "ultralytics",
        {"output0": table((1, 20, 7), 9, [24, 32, 32, 16, 0, 0.1, 0.75]).transpose(0, 2, 1)}, {},
    ),
    "P2": (
        "ultralytics",
        {"output0": table((1, 340, 7), 9, [24, 32, 32, 16, 0, 0.1, 0.75]).transpose(0, 2, 1)}, {},
    ),
    "P6": (
        "ultralytics",
        {"output0": table((1, 85, 7), 9, [24, 32, 32, 16, 0, 0.1, 0.75]).transpose(0, 2, 1)}, {},
    ),
    "masks of YOLOv5": (
        "yolov5",
        {"output0": table((1, 252, 40), 73, [24, 32, 32, 16, 0.9375, 0, 0, 0.8, *[2.0] * 32]),
         **MASKS}, {},
    ),
    "poses": (
        "ultralytics",
        {"output0": table((1, 84, 58), 73, [24, 32, 32, 16, 0, 0.1, 0.75, *POINTS])
         .transpose(0, 2, 1)}, POSES,
    ),
    "poses with NMS": (
        "rows", {"output0": table((1, 9, 57), 0, [*BOX, 0.75, 2, *POINTS])}, POSES,
    ),
    "masks with NMS": (
        "rows", {"output0": table((1, 9, 38), 0, [*BOX, 0.75, 2, *[-1.5] * 32]), **MASKS}, {},
    ),
    "RT-DETR of earlier versions": (
        "ultralytics-rt-detr", {"output0": table((1, 3, 7), 1, [*RATIOS, 0, 0.1, 0.75])}, {},
    ),
    "masks of torchvision": (
        "torchvision",
        {"boxes": np.array([BOX], np.float32), "labels": np.array([3], np.int64),
         "scores": np.array([0.75], np.float32), "masks": np.zeros((1, 1, 64, 64), np.float32)}, {},
    ),
    "keypoints of torchvision": (
        "torchvision",
        {"boxes": np.array([BOX], np.float32), "labels": np.array([3], np.int64),
         "scores": np.array([0.75], np.float32), "keypoints": np.zeros((1, 17, 3), np.float32),
         "keypoints_scores": np.zeros((1, 17), np.float32)}, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ["detr", "rt-detr-logits", "deformable-detr"])
def test_the_names_of_the_authors_of_detr_are_known(name: str) -> None:
    outputs = {f"pred_{key.removeprefix('pred_')}": a for key, a in CASES[name][0].items()}
    assert set(outputs) == {"pred_logits", "pred_boxes"}
    assert chosen_reader(probe(outputs, 3), name).name == name


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_a_format_are_read(user_model: UserModel, picture: Image, name: str) -> None:
    layout, outputs, metadata = VARIANTS[name]
    path = user_model(outputs, metadata=metadata)
    detector = ObjectDetector(ObjectOptions(model=path, labels=LABELS))
    detector.start()
    (result,) = detector.detect([picture])
    assert isinstance(result, Findings)
    assert isinstance(result.raw_response, dict)
    assert result.raw_response["layout"] == layout
    (found,) = result.detections
    assert (found.label, found.confidence) == ("cicada", pytest.approx(0.75, abs=1e-6))
    assert found.box is not None
    edges = [found.box.left, found.box.top, found.box.width, found.box.height]
    box = STRETCHED if layout == "ultralytics-rt-detr" else LETTERBOXED
    assert edges == pytest.approx(box, abs=1e-6)


@pytest.mark.parametrize("fused", [False, True])
def test_a_box_with_a_negative_height_has_none(
    user_model: UserModel, picture: Image, fused: bool
) -> None:
    row = [24, 32, 32, -16, 0, 0.1, 0.75]
    path = user_model({"output0": table((1, 84, 7), 73, row).transpose(0, 2, 1)})
    detector = ObjectDetector(ObjectOptions(model=path, labels=LABELS, fused=fused))
    detector.start()
    (result,) = detector.detect([picture])
    assert isinstance(result, Findings)
    (found,) = result.detections
    assert found.box is not None
    assert (found.box.width, found.box.height) == pytest.approx((0.5, 0))


@pytest.mark.parametrize(
    ("task", "said"), [("obb", "detect, segment and pose"), ("classify", "use onnx-labels")]
)
def test_other_tasks_of_ultralytics_are_refused(
    user_model: UserModel, task: str, said: str
) -> None:
    path = user_model({"output0": zeros(1, 8, 84)}, metadata={"task": task})
    with pytest.raises(ConfigurationError, match=rf"^option model: .* is {task}, .*{said}"):
        ObjectDetector(ObjectOptions(model=path, labels=LABELS)).start()


def test_the_preprocessing_can_be_set(user_model: UserModel, picture: Image) -> None:
    path = user_model(CASES["yolov5"][0])
    for options, expected in [
        ({"pixels": "-1-1", "channels": "bgr"}, (-1, 200 / 127.5 - 1)),
        ({"mean": (0.5, 0, 0), "std": (0.5, 1, 2)}, ((200 / 255 - 0.5) / 0.5, 0)),
    ]:
        detector = ObjectDetector(ObjectOptions(model=path, labels=LABELS, **options))
        detector.start()
        layout = detector._recognised
        canvas, _ = layout.place(picture)
        (prepared,) = layout.preprocessing.normalise(canvas[None])
        assert (prepared[0, 32, 32], prepared[2, 32, 32]) == pytest.approx(expected, abs=1e-6)


def test_every_reader_has_an_option_and_a_test() -> None:
    names = {reader.name for reader in READERS}
    assert names == set(get_args(LayoutName))
    earlier = {"nanodet", "nanodet-plus", "rows", "numbered-rows", "counted-rows", "queries"}
    assert names - earlier == set(CASES)  # test_user_models.py has the earlier ones


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


FORMATS: dict[str, Callable[[int, int, int], Outputs]] = {
    "nanodet": lambda cells, classes, rows: {"output": zeros(1, cells, classes + 32)},
    "yolox": lambda cells, classes, rows: {"output": zeros(1, cells, 5 + classes)},
    "yolov5": lambda cells, classes, rows: {"output": zeros(1, 3 * cells, 5 + classes)},
    "ultralytics": lambda cells, classes, rows: {"output0": zeros(1, 4 + classes, cells)},
    "ultralytics-segments": lambda cells, classes, rows: {
        "output0": zeros(1, 4 + classes + 32, cells),
        # A side of s pixels has s² × 21 / 1,024 cells, and a prototype s / 4 pixels.
        "output1": zeros(1, 32, *[round((cells / 21 * 64) ** 0.5)] * 2)},
    "yolo-nas": lambda cells, classes, rows: {
        "904": zeros(1, cells, 4), "913": zeros(1, cells, classes)},
    "yolo-nas-flat": lambda cells, classes, rows: {"graph2_flat_predictions": zeros(rows, 7)},
    "numbered-rows": lambda cells, classes, rows: {"output": zeros(rows, 7)},
    "rows": lambda cells, classes, rows: {"output0": zeros(1, rows, 6)},
    "detr": lambda cells, classes, rows: {
        "logits": zeros(1, rows, classes + 1), "pred_boxes": zeros(1, rows, 4)},
    "ultralytics-rt-detr": lambda cells, classes, rows: {
        "output0": np.full((1, rows, 4 + classes), 0.4, np.float32)},
    "rf-detr": lambda cells, classes, rows: {
        "dets": zeros(1, rows, 4), "labels": zeros(1, rows, classes)},
    "mmdeploy": lambda cells, classes, rows: {
        "dets": zeros(1, rows, 5), "labels": zeros(1, rows).astype(np.int64)},
    "queries": lambda cells, classes, rows: {
        "scores": zeros(1, rows), "boxes": zeros(1, rows, 4),
        "labels": zeros(1, rows).astype(np.int64)},
    "torchvision": lambda cells, classes, rows: {
        "scores": zeros(rows), "boxes": zeros(rows, 4), "labels": zeros(rows).astype(np.int64)},
}  # fmt: skip


def probe(outputs: Outputs, labels: int | None, side: int = 64) -> Probe:
    names = None if labels is None else tuple(f"class {number}" for number in range(labels))
    return Probe(tuple(outputs), tuple(outputs.values()), side, side, 1, names)


@given(
    name=st.sampled_from(sorted(FORMATS)),
    side=st.integers(1, 8).map(lambda number: 32 * number),
    classes=st.integers(1, 120),
    rows=st.integers(1, 400),
)
def test_no_format_is_taken_for_another(name: str, side: int, classes: int, rows: int) -> None:
    cells = sum((side // stride) ** 2 for stride in (8, 16, 32))
    asked = probe(FORMATS[name](cells, classes, rows), classes, side)
    try:
        chosen = chosen_reader(asked).name
    except ConfigurationError as error:
        chosen = str(error)
    # Or refused, with the option that decides.
    assert chosen == name or (chosen.startswith("option layout") and f"layout={name}: " in chosen)
    assert chosen_reader(asked, name).name == name


@pytest.mark.parametrize(
    ("outputs", "labels", "option", "said"),
    [
        (FORMATS["yolox"](84, 3, 0), 2, "labels", "3 classes (yolox), but there are 2 labels"),
        (FORMATS["yolox"](84, 3, 0), None, "labels", "3 classes (yolox), but there are no labels"),
        (FORMATS["ultralytics"](84, 80, 0), 3, "labels", "80 classes (ultralytics)"),
        (FORMATS["detr"](0, 7, 5), 3, "labels", "7 classes (detr) or 8 classes (rt-detr-logits)"),
        (FORMATS["rf-detr"](0, 4, 5), 3, "labels", "4 classes (rf-detr)"),
        (FORMATS["rf-detr"](0, 4, 5), 3, "labels", "add a last label, such as N/A"),
        ({"linear": zeros(1, 1000)}, None, "model", "looks like a classifier's: linear float32"),
        ({"pixels": zeros(1, 21, 64, 64)}, None, "model", "a number for each pixel"),
        (picodet(), 3, "layout", "layout=nanodet-plus"),
        (picodet(), 3, "layout", "layout=picodet"),
        (picodet(), None, "labels", "3 classes (nanodet-plus) or 3 classes (picodet)"),
        (FORMATS["detr"](0, 2, 5), 3, "layout", "layout=deformable-detr"),
        (rows_with_objectness(84), 3, "layout", "layout=yolov6"),
        (FORMATS["yolox"](84, 1, 0), None, "layout", "layout=rows"),
        ({"rows": zeros(5, 7)}, 3, "layout", "layout=numbered-rows"),
        ({"rows": zeros(5, 7)}, 3, "layout", "layout=yolo-nas-flat"),
    ],
    ids=str,
)
def test_what_does_not_match_or_decide_is_refused(
    outputs: Outputs, labels: int | None, option: str, said: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        chosen_reader(probe(outputs, labels))
    assert str(refused.value).startswith(f"option {option}: ")
    assert said in str(refused.value)


def test_a_layout_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^option layout: .* not those of rf-detr"):
        chosen_reader(probe(FORMATS["yolox"](84, 3, 0), 3), "rf-detr")


@pytest.mark.parametrize(
    ("outputs", "name", "first"),
    [
        (FORMATS["yolov5"](84, 80, 0), "yolov5", "person"),
        (FORMATS["detr"](0, 91, 5), "detr", "N/A"),
        (FORMATS["detr"](0, 90, 5), "deformable-detr", "N/A"),
        (FORMATS["detr"](0, 79, 5), "rt-detr-logits", "person"),
        (FORMATS["rf-detr"](0, 91, 5), "rf-detr", "N/A"),
    ],
)
def test_models_of_coco_need_no_labels(
    user_model: UserModel, outputs: Outputs, name: str, first: str
) -> None:
    detector = ObjectDetector(ObjectOptions(model=user_model(outputs)))
    detector.start()
    assert (detector._recognised.name, detector._recognised.label(0)) == (name, first)


def test_a_label_of_the_background_is_left_out(user_model: UserModel, picture: Image) -> None:
    """torchvision's ``weights.meta["categories"]`` begins with it; its class ids begin with 1."""
    for name in ("torchvision", "tensorflow"):
        outputs, _, network, options = CASES[name]
        for labels in (LABELS, ("__background__", *LABELS)):
            path = user_model(outputs, **network)
            detector = ObjectDetector(ObjectOptions(model=path, labels=labels, **options))
            detector.start()
            (result,) = detector.detect([picture])
            assert isinstance(result, Findings)
            assert [found.label for found in result.detections] == ["cicada"]
            assert list(detector.labels) == list(LABELS)


def test_ids_of_coco_have_gaps() -> None:
    names = coco_id_names()
    assert (names[1], names[13], names[44], names[90]) == (
        "person", "stop sign", "bottle", "toothbrush",
    )  # fmt: skip
    assert [name for name in names if name != "N/A"] == list(coco_names())


@pytest.mark.parametrize(
    ("kind", "layout"),
    [
        ("yolos", "detr"),
        ("d_fine", "rt-detr-logits"),
        ("conditional_detr", "deformable-detr"),
    ],
)
def test_the_files_beside_an_export_decide(
    user_model: UserModel, tmp_path: Path, kind: str, layout: str
) -> None:
    columns = 4 if layout == "detr" else 3
    path = user_model({"logits": zeros(1, 5, columns), "pred_boxes": zeros(1, 5, 4)})
    config = {"model_type": kind, "id2label": dict(enumerate(LABELS))}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    settings = {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
                "do_resize": True, "size": {"shortest_edge": 800, "longest_edge": 1333},
                "do_center_crop": False}  # fmt: skip
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    detector = ObjectDetector(ObjectOptions(model=path))
    detector.start()
    facts: Any = detector.describe()
    assert (facts["layout"], facts["first labels"]) == (layout, list(LABELS))
    assert (facts["pixels"], facts["resize"]) == ("-1-1", "stretch")
    assert "config.json" in facts["chosen because"]
