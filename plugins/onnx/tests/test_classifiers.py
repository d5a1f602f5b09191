"""Classifiers of other frameworks: small networks with the inputs and outputs of each exporter.

They see the mean colour of an image, so that wrong preprocessing gives another answer.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as PillowImage
from retinue_onnx.classifiers import confidences
from retinue_onnx.labels import OnnxLabelDetector, OnnxLabelOptions
from retinue_sdk import (
    ConfigurationError,
    DetectorNotReadyError,
    Findings,
    Image,
    InvalidImageError,
)

COLOURS = ("red", "green", "blue")
SCALE = 8
BIAS = -1.5
NAMES = {"names": "{0: 'red', 1: 'green', 2: 'blue'}"}
LABELS = {"labels": COLOURS}

LAYOUTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "torchvision": (
        {"image": ("input", (1, 3, 32, 32)), "answer": "output"},
        {**LABELS, "pixels": "imagenet", "resize": "crop"},
    ),
    "timm": (
        {"image": ("x", ("batch_size", 3, 32, 32)), "answer": "linear"},
        {**LABELS, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "resize": "crop"},
    ),
    "hugging-face": (
        {
            "image": ("pixel_values", ("batch_size", "num_channels", "height", "width")),
            "answer": "logits",
            "extra": "hidden_states",
        },
        {"labels": "config.json", "pixels": "-1-1", "resize": "stretch", "input_side_px": 32},
    ),
    "keras": (
        {"image": ("input_1", ("unk__1", 32, 32, 3)), "answer": "predictions", "softmax": True},
        {**LABELS, "pixels": "-1-1", "resize": "stretch"},
    ),
    "bytes": (
        {"image": ("serving", (1, 32, 32, 3)), "answer": "out", "softmax": True, "of_bytes": True},
        {**LABELS, "resize": "letterbox"},
    ),
    "ultralytics": (
        {
            "image": ("images", (1, 3, 32, 32)),
            "answer": "output0",
            "softmax": True,
            "metadata": {**NAMES, "task": "classify"},
        },
        {},
    ),
}
"""The network that an exporter writes, and the options that it needs."""


@pytest.fixture
def network(tmp_path: Path) -> Callable[..., Path]:
    def write(
        *,
        image: tuple[str, tuple[int | str, ...]],
        answer: str,
        softmax: bool = False,
        extra: str | None = None,
        metadata: dict[str, str] | None = None,
        bias: float = BIAS,
        of_bytes: bool = False,
    ) -> Path:
        """The logit of a colour is its mean times ``SCALE``, plus the bias."""
        entry, shape = image
        axes = [1, 2] if shape[3] == 3 else [2, 3]
        weights = np.eye(3, dtype=np.float32) * (SCALE / 255 if of_bytes else SCALE)
        nodes = [
            helper.make_node("Cast", [entry], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats"], ["means"], axes=axes, keepdims=0),
            helper.make_node("MatMul", ["means", "weights"], ["products"]),
            helper.make_node("Add", ["products", "bias"], ["sums" if softmax else answer]),
        ]
        if softmax:
            nodes.append(helper.make_node("Softmax", ["sums"], [answer], axis=1))
        outputs = [helper.make_tensor_value_info(answer, TensorProto.FLOAT, [None, 3])]
        if extra:
            nodes.append(helper.make_node("Identity", ["floats"], [extra]))
            outputs.append(helper.make_tensor_value_info(extra, TensorProto.FLOAT, [None] * 4))
        kind = TensorProto.UINT8 if of_bytes else TensorProto.FLOAT
        model = helper.make_model(
            helper.make_graph(
                nodes,
                "colours",
                [helper.make_tensor_value_info(entry, kind, shape)],
                outputs,
                initializer=[
                    numpy_helper.from_array(weights, "weights"),
                    numpy_helper.from_array(np.float32([bias, bias, bias]), "bias"),
                ],
            ),
            opset_imports=[helper.make_opsetid("", 17)],
            ir_version=8,
        )
        helper.set_model_props(model, metadata or {})
        onnx.save(model, tmp_path / "model.onnx")
        if extra:  # Hugging Face's
            config = {"id2label": {str(index): name for index, name in enumerate(COLOURS)}}
            (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return tmp_path / "model.onnx"

    return write


@pytest.fixture
def coloured(tmp_path: Path) -> Callable[..., Image]:
    def make(colour: str, *, edges: str | None = None, width: int = 32) -> Image:
        """A picture of 96 × 32 pixels; ``edges`` is the colour of all but the middle."""
        picture = PillowImage.new("RGB", (96, 32), edges or colour)
        picture.paste(PillowImage.new("RGB", (width, 32), colour), (48 - width // 2, 0))
        picture.save(tmp_path / "picture.png")
        return Image.from_file(tmp_path / "picture.png")

    return make


def started(path: Path, options: dict[str, Any], **more: Any) -> OnnxLabelDetector:
    options = {**options, **more}
    if options.get("labels") == "config.json":
        options["labels"] = path.with_name("config.json")
    detector = OnnxLabelDetector(OnnxLabelOptions(model=path, **options))
    detector.start()
    return detector


def found(detector: OnnxLabelDetector, image: Image) -> dict[str, float]:
    [result] = detector.detect([image])
    assert isinstance(result, Findings)
    assert all(one.kind == "label" and one.box is None for one in result.detections)
    return {one.label: one.confidence for one in result.detections}


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_classifiers_are_read(
    network: Callable[..., Path], coloured: Callable[..., Image], layout: str, fused: bool
) -> None:
    of_model, options = LAYOUTS[layout]
    detector = started(network(**of_model), options, fused=fused, threshold=0)
    for colour, pixel in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        scores = found(detector, coloured(colour))
        assert next(iter(scores)) == colour
        facts: Any = detector.describe()
        preprocessing = detector._classifier.preprocessing
        values = (np.array(pixel) - preprocessing.mean) / preprocessing.deviation
        if layout == "bytes":
            values = values / 255 * 11 / 32  # the other rows are the letterbox's black edges
        expected = np.exp(SCALE * values) / np.exp(SCALE * values).sum()
        assert [scores[name] for name in COLOURS] == pytest.approx(expected.tolist(), abs=1e-3)
    assert facts["scores"] == ("probabilities" if of_model.get("softmax") else "logits")
    assert (facts["labels"], facts["canvas"]) == (3, [32, 32])
    assert facts["first labels"] == list(COLOURS)


def test_the_way_of_resizing_decides_what_is_seen(
    network: Callable[..., Path], coloured: Callable[..., Image]
) -> None:
    of_model, options = LAYOUTS["torchvision"]
    path, image = network(**of_model), coloured("red", edges="blue")
    for resize, label in (("crop", "red"), ("stretch", "blue")):
        assert list(found(started(path, options, resize=resize), image)) == [label]
    # Half of the shorter side is as wide as the narrow middle.
    narrow = coloured("red", edges="blue", width=16)
    scores = [
        found(started(path, options, threshold=0, crop=crop), narrow)["red"] for crop in (1.0, 0.5)
    ]
    assert scores[0] < 0.1
    assert scores[1] > 0.99


def test_independent_classes_have_confidences_of_their_own(
    network: Callable[..., Path], coloured: Callable[..., Image]
) -> None:
    of_model, options = LAYOUTS["torchvision"]
    detector = started(network(**of_model), options, scores="independent-logits")
    assert found(detector, coloured("white")) == pytest.approx(dict.fromkeys(COLOURS, 1), abs=1e-3)


MISSING: dict[str, tuple[str, dict[str, Any], str]] = {
    "preprocessing": ("torchvision", {"pixels": None, "resize": None}, r"option pixels: .*resize:"),
    "resizing": ("torchvision", {"resize": None}, "option resize: .*crop for"),
    "scale": ("torchvision", {"pixels": None}, "option pixels: .*mean and std"),
    "labels": ("torchvision", {"labels": None}, r"option labels: .* 3 classes.* 1000 labels"),
    "other labels": ("keras", {"labels": ("one",)}, r"option labels: .* 3 classes.* 1 labels"),
    "other labels in the file": (
        "ultralytics", {"labels": ("one",)}, r"option labels: .* 3 classes.* 1 labels",
    ),
    "size": ("hugging-face", {"input_side_px": None}, "option input_side_px: .*such as 224"),
    "other size": ("keras", {"input_side_px": 64}, "option input_side_px: .* only takes 32 × 32"),
    "scale of bytes": ("bytes", {"pixels": "imagenet"}, "option pixels: .*uint8"),
    "vector": ("ultralytics", {"embedding": True}, "option embedding: .*leave it out"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISSING)
def test_the_option_that_decides_is_named(network: Callable[..., Path], case: str) -> None:
    layout, changes, message = MISSING[case]
    of_model, options = LAYOUTS[layout]
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        started(network(**of_model), options, **changes)


def test_an_answer_that_could_be_anything_is_refused(network: Callable[..., Path]) -> None:
    of_model, options = LAYOUTS["torchvision"]
    path = network(**of_model, bias=0.25)
    with pytest.raises(ConfigurationError, match=r"^option scores: .*probabilities .*logits"):
        started(path, options)
    assert started(path, options, scores="logits").describe()["scores"] == "logits"


def test_a_file_of_labels_that_is_none_is_refused(network: Callable[..., Path]) -> None:
    path = network(**LAYOUTS["hugging-face"][0])
    for content in ("{}", "[]", "not json", '{"id2label": {"1": "red"}}', '{"id2label": 3}'):
        path.with_name("config.json").write_text(content, encoding="utf-8")
        with pytest.raises(ConfigurationError, match=r"^option labels: .*with id2label"):
            started(path, LAYOUTS["hugging-face"][1])


def test_options_of_other_models_are_refused_for_the_bundled_one() -> None:
    detector = OnnxLabelDetector(OnnxLabelOptions(resize="crop"))
    with pytest.raises(ConfigurationError, match=r"^option resize: .*leave the option out"):
        detector.start()


def test_other_outputs_are_refused(user_model: Callable[..., Path]) -> None:
    boxes = {"boxes": np.zeros((1, 5, 4), np.float32), "scores": np.zeros((1, 5), np.float32)}
    number = {"loss": np.zeros((), np.float32)}
    for outputs in (boxes, {"ids": np.zeros((1, 3), np.int64)}, {"boxes": boxes["boxes"]}, number):
        with pytest.raises(ConfigurationError, match=r"^option model: .*not a classifier's"):
            started(user_model(outputs), {})


def test_answers_that_are_no_probabilities_stop_the_detector(
    network: Callable[..., Path], coloured: Callable[..., Image]
) -> None:
    of_model, options = LAYOUTS["torchvision"]
    detector = started(network(**of_model), options, scores="probabilities")
    with pytest.raises(DetectorNotReadyError, match=r"option scores: .* set the option to logits"):
        detector.detect([coloured("red")])


def test_an_infinite_answer_is_that_images_error(
    network: Callable[..., Path], coloured: Callable[..., Image]
) -> None:
    of_model, options = LAYOUTS["torchvision"]
    options = {**options, "pixels": None, "mean": (0, 0, 0), "std": (1e-38, 1, 1)}
    [result] = started(network(**of_model), options).detect([coloured("red")])
    assert isinstance(result, InvalidImageError)


def test_labels_are_part_of_the_fingerprint(network: Callable[..., Path]) -> None:
    path = network(**LAYOUTS["hugging-face"][0])
    before = started(path, LAYOUTS["hugging-face"][1]).fingerprint()
    config = path.with_name("config.json")
    config.write_text(config.read_text("utf-8").replace("red", "rot"), encoding="utf-8")
    assert started(path, LAYOUTS["hugging-face"][1]).fingerprint() != before


@given(
    st.lists(
        st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False),
        min_size=1,
        max_size=9,
    )
)
def test_confidences_are_from_0_to_1(numbers: list[float]) -> None:
    answer = np.array(numbers, np.float32)
    for scores in ("logits", "independent-logits", "probabilities"):
        of_classes = confidences(answer, scores)
        assert ((of_classes >= 0) & (of_classes <= 1)).all()
    assert confidences(answer, "logits").sum() == pytest.approx(1, abs=1e-4)


VIT = {
    "do_normalize": True, "do_rescale": True, "do_resize": True, "resample": 2,
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    "image_processor_type": "ViTFeatureExtractor", "rescale_factor": 0.00392156862745098,
    "size": {"height": 32, "width": 32},
}  # fmt: skip
"""``preprocessor_config.json`` of google/vit-base-patch16-224, for a smaller image."""

CLIP = {**VIT, "size": {"shortest_edge": 64}, "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32}}  # fmt: skip

SAID: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "vit": (VIT, {"resize": "stretch", "pixels": "-1-1", "canvas": [32, 32]}),
    "old vit": ({**VIT, "size": 32}, {"resize": "stretch", "canvas": [32, 32]}),
    "clip": (CLIP, {"resize": "crop", "crop": 0.5, "pixels": "-1-1", "canvas": [32, 32]}),
    "convnext": (
        {**VIT, "size": {"shortest_edge": 32}, "crop_pct": 0.875},
        {"resize": "crop", "crop": 0.875, "canvas": [32, 32]},
    ),
    "wide convnext": (
        {**VIT, "size": {"shortest_edge": 384}, "crop_pct": 0.875},
        {"resize": "stretch", "canvas": [384, 384]},
    ),
    "not normalised": ({**VIT, "do_normalize": False}, {"pixels": "0-1"}),
    "bytes as floats": ({**VIT, "do_normalize": False, "do_rescale": False}, {"pixels": "0-255"}),
    "efficientnet": (
        {**VIT, "do_normalize": False, "rescale_factor": 1 / 127.5, "rescale_offset": True},
        {"pixels": "-1-1"},
    ),
    "mobilevit": (
        {**VIT, "do_normalize": None, "do_flip_channel_order": True,
         "image_processor_type": "MobileViTImageProcessor"}, {"channels": "bgr", "pixels": "0-1"},
    ),
}  # fmt: skip
"""Settings of image processors, and the options that they stand for."""


@pytest.fixture
def exported(network: Callable[..., Path]) -> Callable[..., Path]:
    def write(settings: object) -> Path:
        path = network(**LAYOUTS["hugging-face"][0])
        text = settings if isinstance(settings, str) else json.dumps(settings)
        path.with_name("preprocessor_config.json").write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("case", SAID)
def test_the_files_beside_an_export_need_no_options(
    exported: Callable[..., Path], case: str
) -> None:
    settings, expected = SAID[case]
    facts: Any = started(exported(settings), {}).describe()
    assert {name: facts[name] for name in expected} == expected
    assert facts["first labels"] == list(COLOURS)


def test_options_come_before_the_files(exported: Callable[..., Path]) -> None:
    path = exported(CLIP)
    options = {"pixels": "imagenet", "resize": "letterbox", "labels": ("a", "b", "c")}
    facts: Any = started(path, options, input_side_px=64).describe()
    assert (facts["pixels"], facts["resize"], facts["canvas"]) == (
        "imagenet",
        "letterbox",
        [64, 64],
    )
    assert facts["first labels"] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": None}, "option input_side_px"),
        ({"do_center_crop": True, "crop_size": 32, "size": 64}, "option input_side_px"),
        ({"do_normalize": None}, "option pixels"),
    ],
)
def test_settings_that_are_ambiguous_decide_nothing(
    exported: Callable[..., Path], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{message}: "):
        started(exported({**VIT, **changes}), {})


@pytest.mark.parametrize(
    "settings",
    ["not json", [], {**VIT, "image_std": [0, 1, 1]}, {**VIT, "image_mean": "x"},
     {**VIT, "rescale_factor": 0}, {**VIT, "size": {"height": "wide", "width": 3}}],
    ids=str,
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(
    exported: Callable[..., Path], settings: object
) -> None:
    with pytest.raises(ConfigurationError, match=r"^option model: .*preprocessor_config.json"):
        started(exported(settings), {})


def test_the_files_are_part_of_the_fingerprint(exported: Callable[..., Path]) -> None:
    prints = {started(exported(SAID[case][0]), {}).fingerprint() for case in SAID}
    assert len(prints) == len(SAID) - 2  # both forms of vit and efficientnet are the same


def test_labels_that_are_numbers_are_none(exported: Callable[..., Path]) -> None:
    path = exported(VIT)
    config = {"id2label": {str(index): f"LABEL_{index}" for index in range(3)}}
    path.with_name("config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"^option labels: .* 3 classes"):
        started(path, {})
