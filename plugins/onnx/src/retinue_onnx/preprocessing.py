"""Turn an image into the input that a family of networks was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from retinue_sdk import Image, Pixels

from retinue_onnx.letterbox import Placement, letterboxed, stretched
from retinue_onnx.options import Channels, PixelValues, Resize

Canvases = npt.NDArray[np.uint8]
"""Images of one size: shape (N, height, width, 3), dtype uint8, RGB."""

Colour: TypeAlias = tuple[float, float, float]
"""Red, green and blue."""

YOLO_GREY = 114
"""Grey level around a letterboxed image in the training of the YOLO family (``letterbox`` in
ultralytics, YOLOv7 and YOLOX) and of RTMDet (``pad_val`` in MMDetection's configurations).
"""

SCALES: Mapping[PixelValues, tuple[Colour, Colour]] = {
    "0-1": ((0, 0, 0), (255, 255, 255)),
    "0-255": ((0, 0, 0), (1, 1, 1)),
    "-1-1": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
"""Mean and standard deviation of each named scale, in 0 to 255, red first."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """A family's preparation of images.

    Attributes:
        resize: How an image is placed on the canvas.
        fill: Grey level around a letterboxed image, 0 to 255.
        channels: The order of the channels.
        mean: Subtracted from the pixels, in 0 to 255, red first.
        deviation: Divides the difference, in 0 to 255, red first.
    """

    resize: Resize
    fill: int
    channels: Channels
    mean: Colour
    deviation: Colour

    @classmethod
    def of(
        cls,
        resize: Resize,
        pixels: PixelValues,
        *,
        channels: Channels = "rgb",
        fill: int = 0,
    ) -> Self:
        """Return the preprocessing with a named scale of the pixels."""
        mean, deviation = SCALES[pixels]
        return cls(resize, fill, channels, mean, deviation)

    def with_pixels(self, pixels: PixelValues) -> Self:
        """Return the same with another scale of the pixels."""
        mean, deviation = SCALES[pixels]
        return replace(self, mean=mean, deviation=deviation)

    @property
    def pixels(self) -> PixelValues | None:
        """Return the name of the scale; ``None`` if mean and deviation are the user's."""
        own = self.mean, self.deviation
        return next((name for name, scale in SCALES.items() if scale == own), None)

    def place(self, image: Image, *, height: int, width: int) -> tuple[Pixels, Placement]:
        """Return the image on its canvas of height × width pixels, and its position there."""
        if self.resize == "stretch":
            return stretched(image, height=height, width=width)
        return letterboxed(
            image,
            height=height,
            width=width,
            fill=self.fill,
            centred=self.resize == "letterbox",
        )

    def normalise(self, canvases: Canvases) -> npt.NDArray[np.float32]:
        """Return canvases (N, height, width, 3) as input, shape (N, 3, height, width), float32."""
        count, height, width, _ = canvases.shape
        batch = np.empty((count, 3, height, width), np.float32)
        order = (0, 1, 2) if self.channels == "rgb" else (2, 1, 0)
        for plane, channel in enumerate(order):  # plane by plane, which is several times faster
            np.subtract(canvases[..., channel], np.float32(self.mean[channel]), out=batch[:, plane])
            if self.deviation[channel] != 1:
                batch[:, plane] /= np.float32(self.deviation[channel])
        return batch

    def as_json(self) -> dict[str, Any]:
        """Return the settings under the names of the options that change them."""
        scale: dict[str, Any] = {"pixels": self.pixels}
        if self.pixels is None:
            scale = {
                "mean": [value / 255 for value in self.mean],
                "std": [value / 255 for value in self.deviation],
            }
        fill = {} if self.resize == "stretch" else {"fill": self.fill}
        return {"resize": self.resize, **fill, "channels": self.channels, **scale}
