"""MediaPipe's selfie segmentation: which pixels belong to people.

The network sees the whole image as 256 × 256 pixels, without its proportions
(https://github.com/google-ai-edge/mediapipe, Apache-2.0). It doesn't separate people, so each
connected region is one segment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from retinue_sdk import Image, Pixels

from retinue_onnx.candidates import Floats
from retinue_onnx.letterbox import Placement, stretched
from retinue_onnx.preprocessing import Preprocessing
from retinue_onnx.regions import Mask, regions
from retinue_onnx.session import Array

SIDE_PX = 256
PIXEL_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Segment:
    """A connected region.

    Attributes:
        mask: Its pixels on the canvas: shape (256, 256).
        box: Left, top, right and bottom, as ratios of the image.
        area: The part of the image that it fills, 0 to 1.
        confidence: The mean likelihood of its pixels, 0 to 1.
    """

    mask: Mask
    box: tuple[float, float, float, float]
    area: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Selfie:
    """Selfie segmentation.

    Attributes:
        min_area: Minimum area of a segment, as a part of the image's area.
    """

    min_area: float

    preprocessing: ClassVar[Preprocessing] = Preprocessing.of("stretch", "0-1")

    @property
    def name(self) -> str:
        """Return the name for the raw response."""
        return "selfie-segmentation"

    def place(self, image: Image) -> tuple[Pixels, Placement]:
        """Stretch."""
        return stretched(image, height=SIDE_PX, width=SIDE_PX)

    def read(self, outputs: Sequence[Array], count: int, threshold: float) -> list[list[Segment]]:
        """Return the connected regions, largest first."""
        return [
            _segments(likelihoods, threshold, self.min_area)
            for likelihoods in outputs[0][:count, 0]
        ]


def _segments(likelihoods: Floats, threshold: float, min_area: float) -> list[Segment]:
    height, width = likelihoods.shape
    found = []
    for region in regions(likelihoods >= PIXEL_THRESHOLD, min_area=min_area * likelihoods.size):
        area = region.area / likelihoods.size
        confidence = region.sum_of(likelihoods) / region.area
        if confidence >= threshold:
            left, top, right, bottom = region.box
            box = (left / width, top / height, right / width, bottom / height)
            found.append(Segment(region.mask(height, width), box, area, confidence))
    return sorted(found, key=lambda segment: -segment.area)
