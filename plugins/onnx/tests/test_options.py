"""What is refused, and what identifies a detector."""

import logging
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import onnxruntime  # type: ignore[import-untyped]  # it ships no type information
import pytest
from pydantic import ValidationError
from retinue_onnx.class_names import coco_names
from retinue_onnx.faces import OnnxFaceDetector, OnnxFaceOptions
from retinue_onnx.labels import OnnxLabelDetector, OnnxLabelOptions
from retinue_onnx.moderation import OnnxModerationDetector, OnnxModerationOptions
from retinue_onnx.objects import ObjectDetector, ObjectOptions
from retinue_onnx.plugin import retinue_register_detectors
from retinue_sdk import ConfigurationError, DetectorNotReadyError, Image

BUNDLED = Path(retinue_register_detectors.__code__.co_filename).parent / "models"

MAKERS: list[Callable[..., Any]] = [
    lambda **options: ObjectDetector(ObjectOptions(**options)),
    lambda **options: OnnxFaceDetector(OnnxFaceOptions(**options)),
    lambda **options: OnnxLabelDetector(OnnxLabelOptions(**options)),
    lambda **options: OnnxModerationDetector(OnnxModerationOptions(**options)),
]


def test_the_entry_point_registers_all_detectors() -> None:
    (entry,) = metadata.entry_points(group="retinue", name="onnx")
    names: list[str] = []
    entry.load().retinue_register_detectors(lambda detector: names.append(detector.name))
    assert names == [
        "onnx-objects", "onnx-faces", "onnx-labels", "onnx-moderation", "onnx-text",
        "onnx-segments", "onnx-pose",
    ]  # fmt: skip


def test_there_are_eighty_names() -> None:
    names = coco_names()
    assert len(set(names)) == 80
    assert (names[0], names[15], names[17], names[79]) == ("person", "cat", "horse", "toothbrush")


@pytest.mark.parametrize("make", MAKERS)
def test_a_missing_model_is_refused(make: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^option model: .*nowhere.onnx.*path of"):
        make(model=tmp_path / "nowhere.onnx")


@pytest.mark.parametrize("make", MAKERS)
def test_a_file_that_is_no_model_is_refused(make: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "own.onnx"
    path.write_text("not a model")
    with pytest.raises(ConfigurationError, match=r"^option model: .* cannot be loaded"):
        make(model=path).start()


@pytest.mark.parametrize("make", MAKERS)
def test_an_unknown_provider_is_refused_with_the_allowed_ones(make: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        make(providers=("GPUExecutionProvider",)).start()
    message = str(refused.value)
    assert "option providers: GPUExecutionProvider is unknown" in message
    assert "CUDAExecutionProvider" in message
    assert "CPUExecutionProvider" in message


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is installed"
)
def test_cuda_alone_is_not_silently_replaced() -> None:
    detector = ObjectDetector(ObjectOptions(providers=("CUDAExecutionProvider",)))
    with pytest.raises(ConfigurationError, match=r"none of CUDAExecutionProvider is installed"):
        detector.start()


def test_a_provider_that_the_session_did_not_get_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a machine with onnxruntime-gpu and no GPU: listed, but the session falls back."""
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )  # fmt: skip
    monkeypatch.setattr(
        onnxruntime, "InferenceSession",
        lambda model, settings, providers: real(model, settings, ["CPUExecutionProvider"]),
    )  # fmt: skip
    detector = ObjectDetector(ObjectOptions(providers=("CUDAExecutionProvider",)))
    with pytest.raises(
        ConfigurationError, match=r"ONNX Runtime used CPUExecutionProvider instead of CUDA"
    ):
        detector.start()
    ObjectDetector(ObjectOptions()).start()  # the default accepts the CPU


def test_the_provider_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="retinue_onnx"):
        ObjectDetector(ObjectOptions(providers=("CPUExecutionProvider",))).start()
    assert "onnx-objects runs nanodet-fe5ab669dad2 (nanodet) on CPUExecutionProvider" in caplog.text


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 1.5},
        {"threshold": -0.1},
        {"max_batch_size": 0},
        {"threads": -1},
        {"providers": ()},
        {"resize": "crop"},
        {"input_side_px": 100},
        {"colour": "red"},
    ],
)
def test_impossible_values_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        ObjectOptions(**options)


@pytest.mark.parametrize("text", ["", "cat\n\ndog\n", "cat\n  \ndog"])
def test_empty_labels_are_refused(tmp_path: Path, text: str) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text(text)
    with pytest.raises(ConfigurationError, match=r"^option labels: .*empty label"):
        ObjectDetector(ObjectOptions(labels=labels))


def test_missing_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"option labels: .* cannot be read"):
        ObjectDetector(ObjectOptions(labels=tmp_path / "nowhere.txt"))


def test_another_file_at_the_same_path_is_another_model(tmp_path: Path) -> None:
    path = tmp_path / "own.onnx"
    shutil.copy(BUNDLED / "nanodet.onnx", path)
    options = ObjectOptions(model=path)
    first = ObjectDetector(options)
    shutil.copy(BUNDLED / "centerface.onnx", path)
    second = ObjectDetector(options)
    assert first.fingerprint() != second.fingerprint()
    assert first.model_version != second.model_version
    with pytest.raises(ConfigurationError, match=r"changed while the worker was starting"):
        first.start()


def test_operational_options_do_not_make_images_new() -> None:
    usual = ObjectDetector(ObjectOptions()).fingerprint()
    other = ObjectOptions(
        providers=("CPUExecutionProvider",), max_batch_size=2, max_concurrency=3, threads=1
    )
    assert ObjectDetector(other).fingerprint() == usual
    assert ObjectDetector(ObjectOptions(threshold=0.5)).fingerprint() != usual


def test_the_batch_size_reaches_the_worker() -> None:
    assert ObjectDetector(ObjectOptions(max_batch_size=3)).capabilities.max_batch_size == 3


def test_a_closed_detector_is_not_ready() -> None:
    detector = ObjectDetector(ObjectOptions())
    detector.start()
    detector.close()
    detector.close()
    with pytest.raises(DetectorNotReadyError, match=r"onnx-objects"):
        detector.detect([Image.from_bytes(b"anything")])
