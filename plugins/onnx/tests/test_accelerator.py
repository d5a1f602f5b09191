"""Fused networks and batches on an accelerator, here on the CPU as ONNX Runtime's device."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from retinue_onnx import parallelism as module
from retinue_onnx.accelerator import MAX_SHAPES, Accelerator
from retinue_onnx.faces import OnnxFaceDetector, OnnxFaceOptions
from retinue_onnx.fused import CANVASES
from retinue_onnx.labels import OnnxLabelDetector, OnnxLabelOptions
from retinue_onnx.moderation import OnnxModerationDetector, OnnxModerationOptions
from retinue_onnx.objects import ObjectDetector, ObjectOptions
from retinue_onnx.poses import OnnxPoseDetector, OnnxPoseOptions
from retinue_onnx.segments import OnnxSegmentDetector, OnnxSegmentOptions
from retinue_sdk import Findings, Image, InvalidImageError

Photograph = Callable[[str], Image]
NAMES = ("astronaut.png", "coffee.png", "grace_hopper.jpg")


@pytest.mark.parametrize(
    ("fixture", "make"),
    [
        ("objects", lambda **o: ObjectDetector(ObjectOptions(**o))),
        ("faces", lambda **o: OnnxFaceDetector(OnnxFaceOptions(**o))),
        ("labels", lambda **o: OnnxLabelDetector(OnnxLabelOptions(embedding=True, **o))),
        ("moderation", lambda **o: OnnxModerationDetector(OnnxModerationOptions(threshold=0, **o))),
        ("segments", lambda **o: OnnxSegmentDetector(OnnxSegmentOptions(**o))),
        ("poses", lambda **o: OnnxPoseDetector(OnnxPoseOptions(**o))),
    ],
)
def test_a_fused_network_finds_in_batches_what_numpy_finds_in_single_images(
    request: pytest.FixtureRequest,
    photograph: Photograph,
    fixture: str,
    make: Callable[..., Any],
) -> None:
    """Scores agree to 1e-4 and edges to 1e-3 of the image: float32 in another order of sums."""
    usual = request.getfixturevalue(fixture)
    detector = make(fused=True, max_batch_size=9)
    stages: list[str] = []
    detector.observe_stages(lambda stage, seconds: stages.append(stage))
    detector.start()
    images = [photograph(name) for name in NAMES]
    singles = [usual.detect([image])[0] for image in images]
    assert any(single.detections for single in singles)
    for single, found in zip(singles, detector.detect(images), strict=True):
        assert isinstance(found, Findings)
        assert len(found.detections) == len(single.detections)
        for one, other in zip(found.detections, single.detections, strict=True):
            assert (one.kind, one.label) == (other.kind, other.label)
            assert one.confidence == pytest.approx(other.confidence, abs=1e-4)
            if one.box is not None and other.box is not None:
                edges = [(box.left, box.top, box.right, box.bottom) for box in (one.box, other.box)]
                assert edges[0] == pytest.approx(edges[1], abs=1e-3)
    assert set(stages) == {"copy", "compute", "post"}
    detector.close()


@pytest.fixture(scope="module")
def doubled() -> Any:
    """Return a session that doubles canvases."""
    from onnx import TensorProto, helper

    shape = ["N", "H", "W", 3]
    graph = helper.make_graph(
        [helper.make_node("Add", [CANVASES, CANVASES], ["out"])],
        "double",
        [helper.make_tensor_value_info(CANVASES, TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("out", TensorProto.UINT8, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def no_stage(stage: str, seconds: float) -> None:
    pass


def test_batches_of_all_sizes_are_answered_as_singles(doubled: Any) -> None:
    accelerator = Accelerator(doubled, provider="CPUExecutionProvider", max_images=40)
    random = np.random.default_rng(1)
    canvases = list(random.integers(0, 128, (40, 4, 6, 3)).astype(np.uint8))
    for count in (40, 1, 3, 8, 9, 32, 33):
        [answers] = accelerator.run(canvases[:count], no_stage)
        assert len(answers) == count
        assert np.array_equal(answers, np.stack(canvases[:count]) * 2)


def test_concurrent_batches_have_their_own_buffers(doubled: Any) -> None:
    accelerator = Accelerator(doubled, provider="CPUExecutionProvider", max_images=8)

    def run(number: int) -> bool:
        # More shapes than are kept, of which some are in use when they are dropped.
        shape = (4 + number % (MAX_SHAPES + 3), 4, 3)
        canvases = [np.full(shape, (number + place) % 128, np.uint8) for place in range(5)]
        [answers] = accelerator.run(canvases, no_stage)
        return np.array_equal(answers, np.stack(canvases) * 2)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(200)))
    assert len(accelerator._free) <= MAX_SHAPES


@pytest.mark.parametrize("fused", [True, False])
def test_an_image_for_which_a_network_answers_nan_fails_alone(
    user_model: Callable[..., Path], photograph: Photograph, fused: bool
) -> None:
    cells = np.zeros((1, 84, 3 + 5), np.float32)
    path = user_model({"output": cells}, shape=("N", 3, 64, 64), blackout=True)
    labels = ("ant", "bee", "cicada")
    detector = ObjectDetector(
        ObjectOptions(model=path, labels=labels, resize="stretch", fused=fused)
    )
    detector.start()
    black = Image.from_pixels(np.zeros((64, 64, 3), np.uint8))
    good, bad = detector.detect([black])[0], detector.detect([photograph("coffee.png")])[0]
    assert isinstance(good, Findings)
    assert isinstance(bad, InvalidImageError)
    assert bad.code == "not_a_number"


def test_a_gpu_gets_two_large_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from retinue_onnx import session

    monkeypatch.setattr(session, "session_provider", lambda wanted: wanted[0])
    declared = ObjectDetector(ObjectOptions()).capabilities
    assert declared.device == "CUDAExecutionProvider"
    assert (declared.max_batch_size, declared.max_concurrency) == (64, 2)
    assert declared.max_wait_ms == module.ACCELERATOR_WAIT_MS
