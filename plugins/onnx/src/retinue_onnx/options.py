"""What both detectors let the user set."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Field
from retinue_sdk import DetectorOptions, Operational

Resize: TypeAlias = Literal["letterbox", "stretch"]
"""How images get to the size of a network's input."""


class OnnxOptions(DetectorOptions):
    """Options of every detector that runs on ONNX Runtime."""

    # Validators are made when they are first used: every worker imports this plugin.
    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True)

    model: Path | None = None
    """ONNX file to use instead of the one that comes with this plugin."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Least confidence that is reported, 0 to 1."""

    providers: Annotated[tuple[str, ...], Field(min_length=1), Operational()] = (
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    )
    """ONNX Runtime execution providers in order of preference; those that are not installed are
    passed over."""

    max_concurrency: Annotated[int | None, Field(ge=1, le=256), Operational()] = None
    """Calls of the network at the same time; left out, one on a GPU, and on a CPU one for each
    core, up to 8."""

    max_batch_size: Annotated[int | None, Field(ge=1, le=256), Operational()] = None
    """Most images that go through the network at once; left out, 8 on a GPU and 1 on a CPU."""

    threads: Annotated[int, Field(ge=0, le=1024), Operational()] = 0
    """Threads for one operator of the network on the CPU; 0 divides the cores among the calls."""
