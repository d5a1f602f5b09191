"""EfficientNet-lite0: classes of the whole image, and its features.

The network and its preparation are those of TensorFlow's TPU models
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite). They crop the
centre of an image. Here the image is letterboxed on grey instead, so that nothing is cut off. On 36
sample images, letterboxing gave more correct and fewer false labels than cropping or stretching.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from retinue_sdk import Image, Pixels

from retinue_onnx.candidates import Floats
from retinue_onnx.layout import Canvases
from retinue_onnx.letterbox import Placement, letterboxed
from retinue_onnx.session import Array, Batch

SIDE_PX = 224
MEAN = 127
DEVIATION = 128


@dataclass(frozen=True, slots=True)
class Classification:
    """The network's answer for one image.

    Attributes:
        probabilities: Shape (classes,), float32: 0 to 1, their sum is 1.
        features: Shape (1280,), float32: the mean of the last feature map.
    """

    probabilities: Floats
    features: Floats


class EfficientNet:
    """EfficientNet-lite0 with ImageNet's classes."""

    @property
    def name(self) -> str:
        """Return the name for the raw response."""
        return "efficientnet-lite"

    def place(self, image: Image) -> tuple[Pixels, Placement]:
        """Letterbox on grey, which is 0 after normalisation."""
        return letterboxed(image, height=SIDE_PX, width=SIDE_PX, fill=MEAN)

    def normalise(self, canvases: Canvases) -> Batch:
        """Return red first, about -1 to 1."""
        scaled = (canvases.transpose(0, 3, 1, 2).astype(np.float32) - MEAN) / DEVIATION
        return np.ascontiguousarray(scaled)

    def read(
        self,
        outputs: Sequence[Array],
        count: int,
        threshold: float,  # noqa: ARG002 - of a group, not of a class
    ) -> list[Classification]:
        """Return all probabilities, small ones too: those of groups are sums."""
        probabilities, features = outputs
        return [Classification(probabilities[i], features[i]) for i in range(count)]
