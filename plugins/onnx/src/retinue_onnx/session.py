"""Load a network into ONNX Runtime, and run it."""

import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from retinue_sdk import ConfigurationError, Json
from retinue_sdk.cores import usable_cores

from retinue_onnx.errors import NotANumberError
from retinue_onnx.execution import ON_CPU, Execution
from retinue_onnx.options import Axes

Array = npt.NDArray[Any]
Batch = npt.NDArray[np.float32]
"""Images as network input: shape (N, 3, height, width), dtype float32."""

PIXEL_MASK_INPUT = "pixel_mask"
"""Second input of DETR in transformers: 1 where the canvas shows the image, shape (N, H, W), int64.
"""

SIZES_INPUT = "orig_target_sizes"
"""Second input of RT-DETR and its relatives: width and height to which the boxes relate, shape
(N, 2), int64 (``tools/export_onnx.py`` of lyuwenyu/RT-DETR).
"""

MAX_INPUT_PIXELS = 2**26
"""Maximum number of pixels of all images in an input: 64 of 1,024 × 1,024, or 0.8 GB as float32."""

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


def runtime() -> Any:
    """Import ONNX Runtime on first use, because many workers don't need it.

    Official builds since 1.32 report their use to Microsoft unless this variable is set before the
    import (``onnxruntime.disable_telemetry_events()`` comes too late for the first report).
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime  # type: ignore[import-untyped]  # it ships no type information

    return onnxruntime


def usable_providers(wanted: Sequence[str]) -> list[str]:
    """Return the wanted execution providers that this ONNX Runtime contains.

    Raises:
        ConfigurationError: A name is unknown, or ONNX Runtime contains none of them.
    """
    onnxruntime = runtime()
    known, installed = onnxruntime.get_all_providers(), onnxruntime.get_available_providers()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ConfigurationError(
            f"option providers: {', '.join(unknown)} is unknown; "
            f"allowed are {', '.join(known)}, and installed here are {', '.join(installed)}"
        )
    usable = [name for name in wanted if name in installed]
    if not usable:
        raise ConfigurationError(
            f"option providers: none of {', '.join(wanted)} is installed; "
            f"installed are {', '.join(installed)}. For CUDA install onnxruntime-gpu instead of "
            "onnxruntime"
        )
    return usable


_SMALLEST = (
    b'\x08\x07\x12\x00:7\n\x10\n\x01a\x12\x01b"\x08Identity\x12\x01gZ\x0f\n\x01a\x12\n\n\x08\x08\x01\x12\x04'
    b"\n\x02\x08\x01b\x0f\n\x01b\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)
"""A network that copies one number, as an ONNX file."""


def new_session(model: bytes, execution: Execution, *, threads: int = 0) -> Any:
    """Return ONNX Runtime's session for a network.

    Args:
        model: The whole ONNX file. Weights in a second file aren't supported.
        execution: The execution providers.
        threads: Threads for one operator on the CPU; 0 for one per core.

    Raises:
        ConfigurationError: The model can't be loaded, or the session didn't get the provider that
            was asked for, or none of the providers.
    """
    onnxruntime = runtime()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads or usable_cores()
    # An idle thread would poll for work, and take its core from threads that fetch and decode
    # the next images.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.log_severity_level = 3  # errors; a warning about each fallen-back node is noise
    usable = usable_providers(execution.providers)
    options = execution.options
    wanted = [(name, dict(options[name])) if name in options else name for name in usable]
    try:
        session = onnxruntime.InferenceSession(model, settings, providers=wanted)
    except Exception as error:  # ONNX Runtime raises a dozen classes without a common base
        raise ConfigurationError(
            f"option model: the file cannot be loaded; {_remedy(model, str(error))} "
            f"({str(error).strip()})"
        ) from error
    provider = session.get_providers()[0]
    if provider not in usable:
        raise ConfigurationError(
            f"option providers: ONNX Runtime used {provider} instead of {', '.join(usable)}; its "
            f"log has the reason. Add {provider} to accept that"
        )
    execution.check(provider)
    session.disable_fallback()  # it would continue on the CPU after an error of the GPU
    return session


@cache
def session_provider(providers: tuple[str, ...]) -> str:
    """Return the execution provider that sessions get, by a session with a tiny network.

    ONNX Runtime lists CUDA as available on machines without a GPU.

    Raises:
        ConfigurationError: A provider is unknown, or the session got none of them.
    """
    provider: str = new_session(_SMALLEST, Execution(providers)).get_providers()[0]
    return provider


class OnnxSession:
    """A network with one image input. Thread-safe.

    Args:
        model: The whole ONNX file. Weights in a second file aren't supported.
        execution: The execution providers.
        threads: Threads for one operator on the CPU; 0 for one per core.
        axes: The order of the input's axes, if its shape doesn't show it.

    Attributes:
        provider: The execution provider that the session actually uses.
        output_names: The outputs' names, in the network's order.
        metadata: Custom metadata in the file.
        batch: Number of images that the network requires; ``None`` for any.
        height: Height of the input in pixels; ``None`` if it may vary.
        width: Width of the input in pixels; ``None`` if it may vary.
        image: Name of the input for images.
        others: Names of the other inputs.
        dtype: Type of the input.
        channels_last: Whether its axes are (N, height, width, 3).
        has_batch: Whether it has the axis N.
        takes_bytes: Whether the input is uint8 instead of a float.

    Raises:
        ConfigurationError: The model can't be loaded, or doesn't accept images.
    """

    def __init__(
        self,
        model: bytes,
        execution: Execution = ON_CPU,
        *,
        threads: int = 0,
        axes: Axes | None = None,
    ) -> None:
        self._session = new_session(model, execution, threads=threads)
        self.provider: str = self._session.get_providers()[0]
        self.output_names = [output.name for output in self._session.get_outputs()]
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self._find_inputs(axes)

    def _find_inputs(self, axes: Axes | None) -> None:
        inputs = self._session.get_inputs()
        images = [i for i in inputs if i.type in _TYPES and len(i.shape) in (3, 4)]
        orders = _orders(images[0].shape, axes) if len(images) == 1 else []
        others = {i.name for i in inputs if i not in images}
        if not orders or others - {SIZES_INPUT, PIXEL_MASK_INPUT}:
            found = "; ".join(f"{i.name} {i.type} {i.shape}" for i in inputs) or "none"
            raise ConfigurationError(
                "option model: its inputs are not understood. Found: "
                f"{found}. Understood: one image input of shape (N, 3, height, width) or "
                "(N, height, width, 3), with or without N, float, float16 or uint8, and perhaps "
                f"{SIZES_INPUT} (N, 2) or {PIXEL_MASK_INPUT} (N, height, width). Export it with "
                "such inputs"
            )
        if len(orders) > 1:
            raise ConfigurationError(
                f"option axes: the shape {images[0].shape} of the model's input "
                f"{images[0].name} doesn't show which axis has the channels; set the option to "
                "nchw or nhwc, or export the model with fixed channels"
            )
        self.image, self.dtype = images[0].name, _TYPES[images[0].type]
        if 0 in images[0].shape:
            axes_of_0 = [axis for axis, size in enumerate(images[0].shape) if size == 0]
            number = [one.name for one in inputs].index(self.image)
            raise ConfigurationError(
                f"option model: the shape {images[0].shape} of its input {self.image} has a size "
                "of 0. If the size should be open, write the model again:\n"
                "import onnx; model = onnx.load('model.onnx')\n"
                f"for axis in {axes_of_0}: model.graph.input[{number}].type.tensor_type.shape"
                ".dim[axis].dim_param = f'size {axis}'\n"
                "onnx.save(model, 'open.onnx')"
            )
        self.others = others
        self.channels_last = orders == ["nhwc"]
        sizes = [size if isinstance(size, int) else None for size in images[0].shape]
        self.has_batch = len(sizes) == 4
        self.batch: int | None = sizes[0] if self.has_batch else 1
        self.height: int | None
        self.width: int | None
        self.height, self.width = sizes[-3:-1] if self.channels_last else sizes[-2:]
        self.takes_bytes = self.dtype is np.uint8

    def describe(self) -> dict[str, list[Json]]:
        """Return names, types and shapes of the inputs and outputs."""
        ends = {"inputs": self._session.get_inputs(), "outputs": self._session.get_outputs()}
        return {
            end: [{"name": one.name, "type": one.type, "shape": list(one.shape)} for one in ones]
            for end, ones in ends.items()
        }

    def probe(
        self, *, height: int, width: int, remedy: str = "export it again with another input size"
    ) -> list[Array]:
        """Run the network on a black image, to inspect its outputs.

        Args:
            height: Height of the image, in pixels.
            width: Width of the image, in pixels.
            remedy: For the error of a network that fails.

        Returns:
            As for ``run``, with the required number of images, or one.

        Raises:
            ConfigurationError: The network fails, or its input is too large.
        """
        images = self.batch or 1
        if images * height * width > MAX_INPUT_PIXELS:
            raise ConfigurationError(
                f"option model: its input has {width:,} × {height:,} pixels and a batch of "
                f"{images:,}, and can have at most {MAX_INPUT_PIXELS / 1e6:.0f} million pixels; "
                "export it again with a smaller input"
            )
        damaged = ConfigurationError(
            "option model: the network answers a black image with NaN or infinity; its weights are "
            "damaged, or too large for half precision: export it again, as float32"
        )
        try:
            outputs = self.run(np.zeros((images, 3, height, width), np.float32))
        except NotANumberError as error:
            raise damaged from error
        except Exception as error:  # ONNX Runtime raises a dozen classes without a common base
            raise ConfigurationError(
                f"option model: the network fails on a black image of {width} × {height} pixels; "
                f"{remedy} ({str(error).strip()})"
            ) from error
        if any(output.dtype.kind == "f" and np.isposinf(output).any() for output in outputs):
            raise damaged
        return outputs

    def probe_two(self, *, height: int, width: int) -> list[Array]:
        """Run a network whose batch is open on two black images, to inspect its outputs.

        Raises:
            ConfigurationError: It only takes one image.
        """
        try:
            return self.run(np.zeros((2, 3, height, width), np.float32))
        except Exception as error:  # ONNX Runtime raises a dozen classes without a common base
            raise one_image_only(str(error).strip()) from error

    def require(
        self, network: str, size: tuple[int, int], outputs: Mapping[str, tuple[int, ...]]
    ) -> None:
        """Run the network on a black image, and check its outputs.

        Args:
            network: Its name, for the message.
            size: Height and width of the image, in pixels.
            outputs: The shape of each output by its name, in order, without the batch.

        Raises:
            ConfigurationError: The network fails, or has other outputs.
        """
        height, width = size
        remedy = f"option model needs a {network}"
        answers = self.probe(height=height, width=width, remedy=remedy)
        found = dict(zip(self.output_names, answers, strict=True))
        if [array.shape[1:] for array in found.values()] != list(outputs.values()):
            raise ConfigurationError(
                f"option model: its outputs are not {network}'s. Found for an input of {width} × "
                f"{height} pixels: {'; '.join(f'{n} {a.shape}' for n, a in found.items())}. "
                f"Understood: {'; '.join(f'{n} (N, {_listed(s)})' for n, s in outputs.items())}"
            )

    def run(self, batch: Batch) -> list[Array]:
        """Run the network.

        Args:
            batch: Images, already scaled and normalised.

        Returns:
            The outputs in the network's order: floats as float32, integers unchanged.

        Raises:
            NotANumberError: An output contains NaN.
        """
        image = batch.transpose(0, 2, 3, 1) if self.channels_last else batch
        inputs: dict[str, Array] = {
            self.image: (image if self.has_batch else image[0]).astype(self.dtype, copy=False)
        }
        count, _, height, width = batch.shape
        if SIZES_INPUT in self.others:
            inputs[SIZES_INPUT] = np.tile(np.array([width, height], np.int64), (count, 1))
        if PIXEL_MASK_INPUT in self.others:
            inputs[PIXEL_MASK_INPUT] = np.ones((count, height, width), np.int64)
        return checked(self._session.run(None, inputs))


def one_image_only(reason: str) -> ConfigurationError:
    """Return the error of a network that can't take the batches that the options allow."""
    return ConfigurationError(
        "option max_batch_size: the size of the model's batch is open, but the model only answers "
        f"for one image; set the option to 1, or export the model again ({reason})"
    )


def remedy_of_failure(session: "OnnxSession") -> str:
    """Return a remedy for a network that fails on a black image."""
    if None in (session.height, session.width):
        return "set option input_side_px to the size it was exported for, or export it again"
    return "export it again, with a batch of 1 or an open one, and check it with onnxruntime"


def canvas_size(
    session: OnnxSession, side_px: int | None, *, default: int | None
) -> tuple[int, int]:
    """Return height and width of the canvas in pixels.

    Args:
        session: The loaded network. Its metadata can have the size of the export, as Ultralytics
            writes it.
        side_px: The user's size.
        default: The size if neither the network, nor its metadata, nor the user sets it.

    Raises:
        ConfigurationError: The user's size differs from the network's, or there is none.
    """
    usual = numbers(session.metadata.get("imgsz", ""))
    high, wide = (usual * 2)[:2] if len(usual) in (1, 2) and all(usual) else (default, default)
    height, width = session.height or side_px or high, session.width or side_px or wide
    if height is None or width is None:
        raise ConfigurationError(
            "option input_side_px: the model leaves the size of its input open; set the option to "
            "the size that it was trained for, such as 224"
        )
    if side_px is not None and (height, width) != (side_px, side_px):
        raise ConfigurationError(
            f"option input_side_px: the model only takes {width} × {height} pixels, "
            f"not {side_px}; leave the option out"
        )
    return height, width


def numbers(text: str) -> list[int]:
    """Return the numbers of up to nine digits in a text of a file's metadata."""
    return [int(digits) for digits in re.findall(r"(?<!\d)\d{1,9}(?!\d)", text)]


def checked(outputs: Sequence[Any]) -> list[Array]:
    """Return a network's outputs: floats as float32, integers unchanged.

    Raises:
        NotANumberError: An output contains NaN.
    """
    arrays = [np.asarray(output) for output in outputs]
    arrays = [
        array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array
        for array in arrays
    ]
    # The minimum is NaN if a number is, and takes a fraction of the time of isnan.
    if any(array.dtype.kind == "f" and np.isnan(array.min(initial=0)) for array in arrays):
        raise NotANumberError("the network answered with NaN")
    return arrays


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))


def _orders(shape: Sequence[object], axes: Axes | None) -> list[Axes]:
    """Return the possible orders of an image input's axes."""
    sizes: dict[Axes, object] = {"nchw": shape[-3], "nhwc": shape[-1]}
    others = {"nchw": shape[-2:], "nhwc": shape[-3:-1]}
    possible: list[Axes] = [
        order
        for order, size in sizes.items()
        if axes in (None, order)
        and (size == 3 or not isinstance(size, int))
        and 1 not in others[order]  # (1, 1, 64, "width") is grey, and no row of pixels
    ]
    # Hugging Face's exporter leaves the channels open, and names the axis.
    certain = [
        order for order in possible if sizes[order] == 3 or "channel" in str(sizes[order]).lower()
    ]
    return certain if len(certain) == 1 else possible


def _remedy(model: bytes, message: str) -> str:
    """Return a remedy for ONNX Runtime's refusal of a file."""
    if model.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS to the model: fetch the model with `git lfs pull`"
    text = message.casefold()
    if "graph capture" in text or "cuda graph" in text:
        return "not all of its operators run on the GPU, so leave option cuda_graphs out"
    if "opset" in text or "ir version" in text:
        return "export it with an older operator set, such as 17, or update onnxruntime"
    unknown = ("not a registered", "no op registered", "could not find an implementation", "_trt")
    if any(words in text for words in unknown):
        return (
            "it needs operators that ONNX Runtime doesn't have, such as plugins of TensorRT: "
            "export it without them"
        )
    if "type error" in text and "float16" in text:
        return (
            "some of its operators were converted to half precision and others not: use the model "
            "from before that, with option half_precision if you need it"
        )
    if "protobuf" in text or "modelproto" in text:
        return "it isn't an ONNX file, or is incomplete: download or export it again"
    return "export it again and check it with onnx.checker"
