"""Run a network that takes canvases, in batches of a few sizes, with buffers on its device."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import numpy as np
from retinue_sdk import Pixels

from retinue_onnx.fused import CANVASES
from retinue_onnx.session import Array, runtime

BATCH_SIZES = (1, 8, 32, 64)
"""A batch is filled up to one of these, or to the detector's maximum. Each size needs buffers, and
with TensorRT or CUDA graphs a compilation.
"""

MAX_SHAPES = 8
"""Number of batch and canvas sizes whose buffers are kept."""

DEVICES = {"CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "cuda"}
"""ONNX Runtime's names of the memory of execution providers. That of others is the CPU's."""


class Buffers:
    """The memory for one batch at a time, bound to a session.

    Attributes:
        canvases: Shape (N, height, width, 3), uint8, in the CPU's memory.
    """

    def __init__(
        self, session: Any, device: str, device_id: int, shape: tuple[int, ...], number: int
    ) -> None:
        onnxruntime = runtime()
        value = onnxruntime.OrtValue
        self.canvases = np.zeros(shape, np.uint8)
        self._is_shared = device == "cpu"  # the value then uses the array's own memory
        self._input = value.ortvalue_from_numpy(self.canvases, device, device_id)
        # CUDA graphs, if they are enabled, are captured for each of these ids. -1 is for none.
        uncaptured, self.options = onnxruntime.RunOptions(), onnxruntime.RunOptions()
        uncaptured.add_run_config_entry("gpu_graph_id", "-1")
        self.options.add_run_config_entry("gpu_graph_id", str(number))
        answers = session.run(None, {CANVASES: self.canvases}, uncaptured)
        self._outputs = [
            value.ortvalue_from_shape_and_type(answer.shape, answer.dtype, device, device_id)
            for answer in answers
        ]
        self.binding = session.io_binding()
        self.binding.bind_ortvalue_input(CANVASES, self._input)
        for output, one in zip(session.get_outputs(), self._outputs, strict=True):
            self.binding.bind_ortvalue_output(output.name, one)

    def fill(self, canvases: Sequence[Pixels]) -> None:
        """Copy canvases to the device. The rest of the batch keeps its values."""
        for place, canvas in zip(self.canvases, canvases, strict=False):
            place[...] = canvas
        if not self._is_shared:
            self._input.update_inplace(self.canvases)

    def answers(self, count: int) -> list[Array]:
        """Return a copy of the outputs for the first images."""
        return [np.array(output.numpy()[:count]) for output in self._outputs]


class Accelerator:
    """Runs batches concurrently, each in buffers of its own. Thread-safe.

    Args:
        session: ONNX Runtime's session, with the input ``CANVASES``.
        provider: The execution provider that it uses.
        max_images: Maximum number of images in a batch.
        batch: Number of images that the network requires; ``None`` for any.
        device_id: The number of the device.
    """

    def __init__(
        self,
        session: Any,
        *,
        provider: str,
        max_images: int,
        batch: int | None = None,
        device_id: int = 0,
    ) -> None:
        self._session = session
        self._device = DEVICES.get(provider, "cpu")
        self._device_id = device_id
        sizes = {size for size in BATCH_SIZES if size < max_images} | {max_images}
        self._sizes = [batch] if batch else sorted(sizes)
        self._free: OrderedDict[tuple[int, ...], list[Buffers]] = OrderedDict()
        self._lock = Lock()
        self._number = 0

    def run(
        self, canvases: Sequence[Pixels], on_stage: Callable[[str, float], None]
    ) -> list[Array]:
        """Return the outputs for canvases of equal size, of which there are at most ``max_images``.

        Args:
            canvases: Each has the shape (height, width, 3), uint8.
            on_stage: Gets the seconds of ``copy`` and ``compute``.
        """
        size = next(size for size in self._sizes if size >= len(canvases))
        shape = (size, *canvases[0].shape)
        began = time.perf_counter()
        buffers = self._take(shape)
        try:
            buffers.fill(canvases)
            filled = time.perf_counter()
            self.compute(buffers)
            computed = time.perf_counter()
            answers = buffers.answers(len(canvases))
        finally:
            self._put_back(shape, buffers)
        on_stage("copy", filled - began + time.perf_counter() - computed)
        on_stage("compute", computed - filled)
        return answers

    def compute(self, buffers: Buffers) -> None:
        """Run the network on filled buffers."""
        self._session.run_with_iobinding(buffers.binding, buffers.options)

    def _take(self, shape: tuple[int, ...]) -> Buffers:
        with self._lock:
            free = self._free.setdefault(shape, [])
            self._free.move_to_end(shape)
            if len(self._free) > MAX_SHAPES:
                self._free.popitem(last=False)
            if free:
                return free.pop()
            self._number += 1
            number = self._number
        return Buffers(self._session, self._device, self._device_id, shape, number)

    def _put_back(self, shape: tuple[int, ...], buffers: Buffers) -> None:
        with self._lock:
            if shape in self._free:
                self._free[shape].append(buffers)
