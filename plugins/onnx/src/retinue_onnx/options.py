"""The common options of the detectors."""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, PositiveFloat, model_validator
from retinue_sdk import DetectorOptions, Operational

from retinue_onnx.execution import CPU, CUDA, DEFAULT_PROVIDERS, TENSORRT, Execution
from retinue_onnx.s3_file import PATTERN

Resize: TypeAlias = Literal["letterbox", "letterbox-top-left", "stretch"]
"""How images are resized for a network."""

Crop: TypeAlias = Literal["crop"]
"""How a classifier's images are usually resized: their centre is cut out."""

Scores: TypeAlias = Literal["probabilities", "logits", "independent-logits"]
"""What a classifier's numbers are: confidences, or logits before softmax or before sigmoid."""

Channels: TypeAlias = Literal["rgb", "bgr"]
"""The order of an image's channels."""

PixelValues: TypeAlias = Literal["0-1", "0-255", "-1-1", "imagenet"]
"""Named scales of an image's pixels."""

Axes: TypeAlias = Literal["nchw", "nhwc"]
"""The order of the axes of a network's input."""

PerChannel: TypeAlias = tuple[float, float, float]
"""Red, green and blue."""


def _check_hash(model: object) -> object:
    """Refuse a URI of S3 without a hash, which would be a path otherwise."""
    if isinstance(model, str) and model.lower().startswith("s3:") and not re.match(PATTERN, model):
        raise ValueError(
            "a file in S3 needs its hash: s3://bucket/key#sha256= and 64 hex digits in lower case"
        )
    return model


class RuntimeOptions(DetectorOptions):
    """Options of all detectors that run on ONNX Runtime."""

    # Validators are created on first use, because every worker imports this plugin.
    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True)

    providers: Annotated[tuple[str, ...] | None, Field(min_length=1), Operational()] = None
    """ONNX Runtime execution providers in order of preference, such as ``["CUDAExecutionProvider",
    "CPUExecutionProvider"]``. The detector refuses to start without the first one. Default: a GPU
    with CUDA if there is one, otherwise the CPU.
    """

    provider_options: Annotated[dict[str, dict[str, str]] | None, Operational()] = None
    """ONNX Runtime's options of execution providers, such as ``{"CUDAExecutionProvider":
    {"device_id": "1"}}``.
    """

    max_concurrency: Annotated[int | None, Field(ge=1, le=256), Operational()] = None
    """Maximum number of concurrent calls of the network. Default: two on a GPU; one per core on a
    CPU, up to 8.
    """

    max_batch_size: Annotated[int | None, Field(ge=1, le=256), Operational()] = None
    """Maximum number of images in a batch. Default: 64 on a GPU and 1 on a CPU."""

    max_wait_ms: Annotated[float | None, Field(ge=0, le=10_000), Operational()] = None
    """Maximum time that an image waits for a full batch while others are being loaded, in
    milliseconds. Default: 100 on a GPU and 0 on a CPU.
    """

    threads: Annotated[int, Field(ge=0, le=1024), Operational()] = 0
    """Threads for one operator of the network on the CPU. 0 divides the cores among the calls."""

    @property
    def execution(self) -> Execution:
        """Return the execution providers that the options ask for."""
        asked_by = None if self.providers is None else "providers"
        return Execution(self.providers or DEFAULT_PROVIDERS, self.provider_options or {}, asked_by)


class OnnxOptions(RuntimeOptions):
    """Options of the detectors with one network."""

    model: Annotated[
        Annotated[str, Field(pattern=PATTERN)] | Path | None,
        BeforeValidator(_check_hash),
    ] = None
    """ONNX file to use instead of the bundled one: a path, or a file in S3 with its hash, such as
    ``s3://bucket/models/birds/3/model.onnx#sha256=9f86…``.
    """

    threshold: Annotated[float | None, Field(ge=0, le=1)] = None
    """Minimum confidence, 0 to 1."""

    fused: Annotated[bool | None, Operational()] = None
    """Whether the network itself normalises images and decodes its outputs, instead of NumPy.
    Default: on a GPU.
    """

    half_precision: bool = False
    """Whether the network computes with float16 instead of float32, which is faster on most GPUs
    and slower on CPUs. Confidences change slightly.
    """

    cuda_graphs: Annotated[bool, Operational()] = False
    """Whether CUDA records the work on a batch once and repeats it as a whole. All operators must
    run on the GPU. There is one call at a time.
    """

    tensorrt_cache: Annotated[Path | None, Operational()] = None
    """Run the network on TensorRT, and keep its compiled form in this folder. Each batch size is
    compiled at its first use, which takes minutes.
    """

    decoder: Literal["pillow", "nvjpeg"] = "pillow"
    """The decoder of JPEGs. ``nvjpeg`` decodes them on the GPU, and leaves other files and those
    that it can't decode to Pillow. Needs the package ``nvidia-nvimgcodec-cu12[nvjpeg]``.
    """

    @model_validator(mode="after")
    def _gpu_options_agree(self) -> Self:
        if self.tensorrt_cache is not None and self.providers is not None:
            raise ValueError("providers: leave the option out if tensorrt_cache is set")
        if self.cuda_graphs and self.execution.providers[0] not in (CUDA, TENSORRT):
            raise ValueError(
                f"cuda_graphs: {self.execution.providers[0]} has no CUDA graphs; leave the option "
                "out, or providers"
            )
        if self.cuda_graphs and (self.max_concurrency or 1) > 1:
            raise ValueError("max_concurrency: must be 1 if cuda_graphs is set; leave it out")
        if self.cuda_graphs and self.fused is False:
            raise ValueError("fused: must be true if cuda_graphs is set; leave it out")
        return self

    @property
    def execution(self) -> Execution:
        """Return the execution providers that the options ask for."""
        usual = super().execution
        providers, asked_by = usual.providers, usual.asked_by
        options: dict[str, dict[str, str]] = {TENSORRT: {}, CUDA: {}}
        if self.tensorrt_cache is not None:
            providers, asked_by = (TENSORRT, CUDA, CPU), "tensorrt_cache"
            options[TENSORRT] = {
                "trt_engine_cache_enable": "1",
                "trt_engine_cache_path": str(self.tensorrt_cache),
                "trt_fp16_enable": str(int(self.half_precision)),
                "trt_cuda_graph_enable": str(int(self.cuda_graphs)),
            }
        if self.cuda_graphs:
            asked_by = asked_by or "cuda_graphs"
            options[CUDA] = {"enable_cuda_graph": str(int(providers[0] == CUDA))}
        for provider, chosen in usual.options.items():
            options[provider] = {**options.get(provider, {}), **chosen}
        options = {name: options[name] for name in providers if options.get(name)}
        return Execution(providers, options, asked_by, is_serial=self.cuda_graphs)


class OwnModelOptions(OnnxOptions):
    """Options of the detectors that read models of other frameworks."""

    labels: Path | tuple[str, ...] | None = None
    """Names of the classes, ordered by id: a text file with one per line, Hugging Face's
    ``config.json``, or a list. Default: the names in the model, or else those of the bundled one.
    """

    channels: Channels | None = None
    """Order of the channels. Default: as in the training of the model's family, otherwise RGB."""

    pixels: PixelValues | None = None
    """Scale of the pixels. ``imagenet``: ImageNet's mean and standard deviation. Default: as in the
    training of the model's family.
    """

    mean: PerChannel | None = None
    """Mean of each channel, 0 to 1, red first, instead of a scale. Needs ``std``."""

    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    """Standard deviation of each channel, 0 to 1, red first. Needs ``mean``."""

    axes: Axes | None = None
    """Order of the axes of the model's input, if its shape doesn't show where the channels are."""

    @model_validator(mode="after")
    def _scale_is_complete(self) -> Self:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std: set both options, or neither")
        if self.mean is not None and self.pixels is not None:
            raise ValueError("pixels: leave the option out if mean and std are set")
        return self
