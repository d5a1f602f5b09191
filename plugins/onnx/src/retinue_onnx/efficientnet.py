"""EfficientNet-lite0: classes of the whole image, and its features.

The network and its preparation are those of TensorFlow's TPU models
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite). They crop the
centre of an image. Here the image is letterboxed on grey instead, so that nothing is cut off. On 36
sample images, letterboxing gave more correct and fewer false labels than cropping or stretching.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from retinue_sdk import Image, Pixels

from retinue_onnx.candidates import Floats
from retinue_onnx.letterbox import Placement, letterboxed
from retinue_onnx.preprocessing import Preprocessing
from retinue_onnx.session import Array

SIDE_PX = 224
MEAN = 127
DEVIATION = 128


@dataclass(frozen=True, slots=True)
class Classification:
    """The network's answer for one image.

    Attributes:
        probabilities: Shape (classes,), float32: 0 to 1. Their sum is 1, unless classes are
            independent.
        features: Shape (1280,), float32: the mean of the last feature map; ``None`` for networks
            that don't report it.
    """

    probabilities: Floats
    features: Floats | None


class EfficientNet:
    """EfficientNet-lite0 with ImageNet's classes."""

    preprocessing: ClassVar[Preprocessing] = Preprocessing(
        "letterbox", MEAN, "rgb", (MEAN,) * 3, (DEVIATION,) * 3
    )

    @property
    def name(self) -> str:
        """Return the name for the raw response."""
        return "efficientnet-lite"

    def place(self, image: Image) -> tuple[Pixels, Placement]:
        """Letterbox on grey, which is 0 after normalisation."""
        return letterboxed(image, height=SIDE_PX, width=SIDE_PX, fill=MEAN)

    def read(
        self,
        outputs: Sequence[Array],
        count: int,
        threshold: float,  # noqa: ARG002 - of a group, not of a class
    ) -> list[Classification]:
        """Return all probabilities, including small ones. A group's probability is a sum."""
        probabilities, features = outputs
        return [Classification(probabilities[i], features[i]) for i in range(count)]
