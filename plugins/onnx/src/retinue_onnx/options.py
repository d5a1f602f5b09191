"""The common options of the detectors."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Field
from retinue_sdk import DetectorOptions, Operational

Resize: TypeAlias = Literal["letterbox", "letterbox-top-left", "stretch"]
"""How images are resized for a network."""

Channels: TypeAlias = Literal["rgb", "bgr"]
"""The order of an image's channels."""

PixelValues: TypeAlias = Literal["0-1", "0-255", "-1-1", "imagenet"]
"""Named scales of an image's pixels."""

Axes: TypeAlias = Literal["nchw", "nhwc"]
"""The order of the axes of a network's input."""


class RuntimeOptions(DetectorOptions):
    """Options of all detectors that run on ONNX Runtime."""

    # Validators are created on first use, because every worker imports this plugin.
    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True)

    providers: Annotated[tuple[str, ...], Field(min_length=1), Operational()] = (
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    )
    """ONNX Runtime execution providers in order of preference. Providers that aren't installed are
    skipped. With this option, the detector refuses to start without the first one. Without it, the
    GPU is used if there is one.
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
    """Maximum time that an image waits for a full batch, in milliseconds. Default: 5 on a GPU and 0
    on a CPU.
    """

    threads: Annotated[int, Field(ge=0, le=1024), Operational()] = 0
    """Threads for one operator of the network on the CPU. 0 divides the cores among the calls."""


class OnnxOptions(RuntimeOptions):
    """Options of the detectors with one network."""

    model: Path | None = None
    """ONNX file to use instead of the bundled one."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Minimum confidence, 0 to 1."""

    fused: Annotated[bool | None, Operational()] = None
    """Whether the network itself normalises images and decodes its outputs, instead of NumPy.
    Default: on a GPU, if the package ``onnx`` is installed.
    """
