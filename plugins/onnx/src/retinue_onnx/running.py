"""A loaded network, as the detectors use it: from canvases to findings."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, cast

import numpy as np
from retinue_sdk import Pixels

from retinue_onnx.accelerator import Accelerator
from retinue_onnx.errors import NotANumberError
from retinue_onnx.fused import read_rows
from retinue_onnx.layout import Network
from retinue_onnx.session import OnnxSession, checked

FoundT = TypeVar("FoundT")
"""What the network finds in one image."""

Stage = Callable[[str, float], None]
"""Takes the name of a stage of the work on a batch, and its seconds."""


class Running(Protocol[FoundT]):
    """A loaded network."""

    def find(self, canvases: Sequence[Pixels], threshold: float, on_stage: Stage) -> list[FoundT]:
        """Return the network's findings in canvases of equal size.

        Args:
            canvases: Each has the shape (height, width, 3), uint8.
            threshold: Minimum score, 0 to 1.
            on_stage: Gets the seconds of ``copy``, ``compute`` and ``post``.

        Raises:
            NotANumberError: The network answers with NaN for one of them.
        """


@dataclass(frozen=True, slots=True)
class OnCpu(Generic[FoundT]):
    """A network whose input and outputs are processed by NumPy."""

    session: OnnxSession
    layout: Network[FoundT]

    def find(self, canvases: Sequence[Pixels], threshold: float, on_stage: Stage) -> list[FoundT]:
        """Return the findings; see ``Running``."""
        began = time.perf_counter()
        missing = (self.session.batch or len(canvases)) - len(canvases)
        filled = [*canvases, *[canvases[0]] * missing]
        stacked = np.stack(filled) if len(filled) > 1 else filled[0][None]
        batch = self.layout.preprocessing.normalise(stacked)
        copied = time.perf_counter()
        outputs = self.session.run(batch)
        computed = time.perf_counter()
        found = self.layout.read(outputs, len(canvases), threshold)
        on_stage("copy", copied - began)
        on_stage("compute", computed - copied)
        on_stage("post", time.perf_counter() - computed)
        return found


@dataclass(frozen=True, slots=True)
class OnAccelerator(Generic[FoundT]):
    """A network that normalises its input, and perhaps decodes its outputs.

    Attributes:
        accelerator: Runs it.
        layout: Reads the outputs, unless they are rows.
        has_rows: Whether the outputs are rows of candidates and their sums.
        max_iou: For the suppression of candidates.
    """

    accelerator: Accelerator
    layout: Network[FoundT]
    has_rows: bool
    max_iou: float | None

    def find(self, canvases: Sequence[Pixels], threshold: float, on_stage: Stage) -> list[FoundT]:
        """Return the findings; see ``Running``."""
        outputs = self.accelerator.run(canvases, on_stage)
        began = time.perf_counter()
        if not self.has_rows:
            found = self.layout.read(checked(outputs), len(canvases), threshold)
        else:
            rows, sums = outputs
            if np.isnan(sums).any():
                raise NotANumberError("the network answered with NaN")
            found = cast(list[FoundT], read_rows(rows, threshold, self.max_iou))
        on_stage("post", time.perf_counter() - began)
        return found
