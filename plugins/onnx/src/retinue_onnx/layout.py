"""What a family of networks wants to be fed, and how its answer is read."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from retinue_sdk import Pixels

from retinue_onnx.candidates import Candidates
from retinue_onnx.letterbox import Placement
from retinue_onnx.session import Array, Batch

Canvases = npt.NDArray[np.uint8]
"""Images brought to one size: shape (N, height, width, 3), dtype uint8, RGB."""


class Layout(Protocol):
    """One family of networks. Implementations hold settings alone and are safe to share."""

    @property
    def name(self) -> str:
        """Return what it is called in the raw response."""

    def place(self, pixels: Pixels) -> tuple[Pixels, Placement]:
        """Bring an image to a size that the network takes.

        Args:
            pixels: Shape (h, w, 3), uint8, RGB.

        Returns:
            The canvas, shape (height, width, 3), uint8, RGB, and where the image lies on it.
        """

    def normalise(self, canvases: Canvases) -> Batch:
        """The network's input, shape (N, 3, height, width), float32."""

    def read(self, outputs: Sequence[Array], count: int, threshold: float) -> list[Candidates]:
        """Return what the network answered, for each image.

        Args:
            outputs: In the network's order.
            count: How many images went in.
            threshold: Least score of interest, 0 to 1.

        Returns:
            ``count`` entries, in order; their boxes are in pixels of the canvas, and overlapping
            ones already suppressed where the family asks for it.

        Raises:
            NotANumberError: A box is not finite.
        """
