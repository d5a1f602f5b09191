"""Options for GPUs, with sessions that claim to have the providers that they are given.

No test runs on a GPU. The networks compute on the CPU.
"""

import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image as Pillow
from pydantic import ValidationError
from retinue_onnx.objects import ObjectDetector, ObjectOptions
from retinue_onnx.session import session_provider
from retinue_sdk import ConfigurationError, Findings, Image

CUDA, TENSORRT, CPU = "CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"


class Sessions:
    """ONNX Runtime's sessions on a machine with GPUs.

    Attributes:
        working: The providers that sessions get.
        asked: The providers that the sessions with a network asked for.
        fallbacks: Number of sessions that may continue on the CPU after an error.
    """

    def __init__(self) -> None:
        self.working = [TENSORRT, CUDA, CPU]
        self.asked: list[list[Any]] = []
        self.fallbacks = 0
        self._real = onnxruntime.InferenceSession

    def session(self, model: bytes, settings: Any, providers: list[Any]) -> Any:
        names = [one if isinstance(one, str) else one[0] for one in providers]
        got = [name for name in names if name in self.working]
        session = self._real(model, settings, [CPU])
        if len(model) > 1_000 and names != [CPU]:
            self.asked.append(providers)
            self.fallbacks += 1
        session.get_providers = lambda: got

        def disable_fallback() -> None:
            self.fallbacks -= names != [CPU] and len(model) > 1_000

        session.disable_fallback = disable_fallback
        return session


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sessions]:
    made = Sessions()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", made.session)
    session_provider.cache_clear()
    yield made
    session_provider.cache_clear()


def started(**options: Any) -> ObjectDetector:
    detector = ObjectDetector(ObjectOptions(**options))
    detector.start()
    return detector


def test_options_reach_the_session(sessions: Sessions, tmp_path: Path) -> None:
    trt = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(tmp_path)}
    chosen: dict[str, Any] = {"provider_options": {CUDA: {"device_id": "1"}}}
    for options, providers, calls in [
        ({}, [CUDA, CPU], 2),
        (chosen, [(CUDA, {"device_id": "1"}), CPU], 2),
        ({"cuda_graphs": True}, [(CUDA, {"enable_cuda_graph": "1"}), CPU], 1),
        (
            {"cuda_graphs": True, **chosen},
            [(CUDA, {"enable_cuda_graph": "1", "device_id": "1"}), CPU], 1,
        ),
        (
            {"tensorrt_cache": tmp_path},
            [(TENSORRT, {**trt, "trt_fp16_enable": "0", "trt_cuda_graph_enable": "0"}), CUDA, CPU],
            2,
        ),
        (
            {"tensorrt_cache": tmp_path, "half_precision": True, "cuda_graphs": True},
            [
                (TENSORRT, {**trt, "trt_fp16_enable": "1", "trt_cuda_graph_enable": "1"}),
                (CUDA, {"enable_cuda_graph": "0"}), CPU,
            ],
            1,
        ),
    ]:  # fmt: skip
        sessions.asked.clear()
        detector = started(**options)
        assert sessions.asked == [providers]
        assert sessions.fallbacks == 0
        assert detector.capabilities.max_concurrency == calls


@pytest.mark.parametrize("working", [[TENSORRT, CPU], [CPU]])
def test_what_was_asked_for_and_not_got_stops_the_start(
    sessions: Sessions, tmp_path: Path, working: list[str]
) -> None:
    sessions.working = working
    for option, value in [("providers", (CUDA, CPU)), ("cuda_graphs", True)]:
        with pytest.raises(ConfigurationError, match=f"^option {option}: {CUDA} was asked for"):
            started(**{option: value})
    if TENSORRT not in working:
        with pytest.raises(ConfigurationError, match=f"^option tensorrt_cache: {TENSORRT} was"):
            started(tensorrt_cache=tmp_path)
    assert started().capabilities.device == CPU


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tensorrt_cache": "x", "providers": (CUDA,)}, "providers: leave the option out"),
        ({"cuda_graphs": True, "providers": (CPU,)}, "cuda_graphs: .* has no CUDA graphs"),
        ({"cuda_graphs": True, "max_concurrency": 2}, "max_concurrency: must be 1"),
        ({"cuda_graphs": True, "fused": False}, "fused: must be true"),
        ({"decoder": "turbo"}, "decoder"),
    ],
)
def test_options_that_exclude_each_other_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ObjectOptions(**options)


def test_half_precision_finds_the_same(
    objects: ObjectDetector, photograph: Callable[[str], Image]
) -> None:
    """Scores agree to 0.01 and edges to 0.02 of the image, of numbers with three digits."""
    for fused in (False, True):
        detector = started(half_precision=True, fused=fused)
        [usual], [found] = (
            one.detect([photograph("astronaut.png")]) for one in (objects, detector)
        )
        assert isinstance(usual, Findings)
        assert isinstance(found, Findings)
        assert [d.label for d in found.detections] == [d.label for d in usual.detections]
        assert len(found.detections) > 0
        for one, other in zip(found.detections, usual.detections, strict=True):
            assert one.confidence != other.confidence
            assert one.confidence == pytest.approx(other.confidence, abs=0.01)
            assert one.box is not None
            assert other.box is not None
            assert one.box.iou(other.box) > 0.98
    assert detector.fingerprint() != objects.fingerprint()


@pytest.fixture
def nvimgcodec(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVIDIA's decoder, as far as it is used: checked by hand with version 0.9.0 on a CPU."""

    class CodeStream:
        def __init__(self, data: bytes) -> None:
            self.data = data
            self.num_channels = len(Pillow.open(BytesIO(data)).getbands())

    class Decoder:
        def __init__(self, device_id: int, max_num_cpu_threads: int) -> None:
            if device_id == 7:
                raise RuntimeError("CUDA Runtime failure: '#100'")

        def decode(self, stream: CodeStream) -> Any:
            picture = Pillow.open(BytesIO(stream.data))
            if picture.width < 64:
                return None
            half = np.asarray(picture.convert("RGB")) // 2  # as no other decoder does
            return SimpleNamespace(cpu=lambda: half)

    module = ModuleType("nvidia.nvimgcodec")
    module.Decoder, module.CodeStream = Decoder, CodeStream  # type: ignore[attr-defined]
    package = ModuleType("nvidia")
    package.nvimgcodec = module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nvidia", package)
    monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", module)


def file(width: int, mode: str, kind: str) -> Image:
    data = BytesIO()
    Pillow.new("RGB", (width, 64), (200, 200, 200)).convert(mode).save(data, kind)
    return Image.from_bytes(data.getvalue())


@pytest.mark.usefixtures("nvimgcodec")
def test_nvjpeg_decodes_jpegs_and_leaves_the_rest_to_pillow() -> None:
    detector = started(decoder="nvjpeg", resize="stretch")
    brightness = [
        int(detector.prepare(image).canvas.mean().round())
        for image in (
            file(64, "RGB", "JPEG"), file(64, "L", "JPEG"), file(64, "CMYK", "JPEG"),
            file(64, "RGB", "PNG"), file(32, "RGB", "JPEG"),
            Image.from_pixels(np.full((64, 64, 3), 200, np.uint8)),
        )
    ]  # fmt: skip
    assert brightness == [100, 100, 200, 200, 200, 200]


def test_nvjpeg_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvidia", None)
    with pytest.raises(ConfigurationError, match=r"^option decoder: .*nvidia-nvimgcodec-cu12"):
        started(decoder="nvjpeg")


@pytest.mark.usefixtures("nvimgcodec")
def test_nvjpeg_needs_a_gpu() -> None:
    device = {CPU: {"device_id": "7"}}
    with pytest.raises(ConfigurationError, match=r"^option decoder: .*can't use a GPU .*#100"):
        started(decoder="nvjpeg", providers=(CPU,), provider_options=device)
