"""The input and output conventions of a family of networks."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias, TypeVar

from retinue_sdk import Image, Pixels

from retinue_onnx.candidates import Candidates
from retinue_onnx.letterbox import Placement
from retinue_onnx.preprocessing import Preprocessing
from retinue_onnx.session import Array

FoundT = TypeVar("FoundT")
"""The findings of a network in one image."""


class Network(Protocol[FoundT]):
    """A family of networks. Implementations have only settings and can be shared."""

    @property
    def name(self) -> str:
        """Return the name for the raw response."""

    def place(self, image: Image) -> tuple[Pixels, Placement]:
        """Decode and resize an image for the network.

        Returns:
            The canvas, shape (height, width, 3), uint8, RGB, and the image's position on it.

        Raises:
            DetectorError: It can't be decoded.
        """

    @property
    def preprocessing(self) -> Preprocessing:
        """Return the normalisation of canvases."""

    def read(self, outputs: Sequence[Array], count: int, threshold: float) -> list[FoundT]:
        """Return the network's findings in each image.

        Args:
            outputs: The outputs in the network's order.
            count: Number of images.
            threshold: Minimum score, 0 to 1.

        Returns:
            ``count`` entries, in order. Boxes are in pixels of the canvas. Overlapping ones are
            suppressed if the family needs it.

        Raises:
            NotANumberError: A box isn't finite.
        """


Layout: TypeAlias = Network[Candidates]
"""A family of networks that find boxes."""
