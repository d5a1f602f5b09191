"""Turn an image into the input that a family of networks was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from retinue_sdk import ConfigurationError, Image, Pixels

from retinue_onnx.hugging_face import Export
from retinue_onnx.letterbox import Placement, cropped, letterboxed, stretched
from retinue_onnx.options import Channels, Crop, PixelValues, Resize

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
        crop: The part of the shorter side that ``resize="crop"`` keeps, above 0, up to 1.
    """

    resize: Resize | Crop
    fill: int
    channels: Channels
    mean: Colour
    deviation: Colour
    crop: float = 1

    @classmethod
    def of(
        cls,
        resize: Resize | Crop,
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
        if self.resize == "crop":
            return cropped(image, height=height, width=width, keep=self.crop)
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
            mean, deviation = np.float32(self.mean[channel]), np.float32(self.deviation[channel])
            values = batch[:, plane]
            values[...] = canvases[..., channel]
            if mean:
                values -= mean
            if deviation != 1:
                values /= deviation
        return batch

    def as_json(self) -> dict[str, Any]:
        """Return the settings under the names of the options that change them."""
        scale: dict[str, Any] = {"pixels": self.pixels}
        if self.pixels is None:
            scale = {
                "mean": [float(f"{value / 255:.6g}") for value in self.mean],
                "std": [float(f"{value / 255:.6g}") for value in self.deviation],
            }
        extra: dict[str, Any] = {}
        if self.resize == "crop":
            extra = {"crop": self.crop}
        elif self.resize != "stretch":
            extra = {"fill": self.fill}
        return {"resize": self.resize, **extra, "channels": self.channels, **scale}


@dataclass(frozen=True, slots=True)
class Choices:
    """The user's settings of the preprocessing; ``None`` for the file's or the family's.

    Attributes:
        resize: How images are resized.
        channels: The order of the channels.
        pixels: The scale of the pixels.
        mean: Mean of each channel, 0 to 1, red first.
        std: Standard deviation of each channel, 0 to 1, red first.
        crop: The part of the shorter side that is kept.
    """

    resize: Resize | Crop | None = None
    channels: Channels | None = None
    pixels: PixelValues | None = None
    mean: Colour | None = None
    std: Colour | None = None
    crop: float | None = None

    def completed_by(self, export: Export, *, takes_bytes: bool) -> Self:
        """Return these settings, and those of an export where the user sets nothing.

        Args:
            export: The settings in the files beside the model.
            takes_bytes: Whether the network takes bytes, which have no other scale.
        """
        is_scaled = self.pixels is not None or self.mean is not None or takes_bytes
        return replace(
            self,
            resize=self.resize or export.resize,
            channels=self.channels or export.channels,
            mean=self.mean if is_scaled else export.mean,
            std=self.std if is_scaled else export.std,
            crop=self.crop or export.crop,
        )

    def applied_to(self, usual: Preprocessing, *, takes_bytes: bool) -> Preprocessing:
        """Return a family's preprocessing with these changes.

        Raises:
            ConfigurationError: The network takes bytes, and the user sets another scale.
        """
        if takes_bytes:
            if self.pixels not in (None, "0-255") or self.mean is not None:
                name = "mean" if self.pixels is None else "pixels"
                raise ConfigurationError(
                    f"option {name}: the model takes bytes (uint8), which are always 0 to 255; "
                    "leave the option out"
                )
            usual = usual.with_pixels("0-255")
        elif self.pixels is not None:
            usual = usual.with_pixels(self.pixels)
        if self.mean is not None and self.std is not None:
            usual = replace(usual, mean=_in_255(self.mean), deviation=_in_255(self.std))
        return replace(
            usual,
            resize=self.resize or usual.resize,
            channels=self.channels or usual.channels,
            crop=self.crop or usual.crop,
        )


def _in_255(ratios: Colour) -> Colour:
    """Return ratios as parts of 255, rounded so that ImageNet's are recognised."""
    red, green, blue = (float(f"{ratio * 255:.9g}") for ratio in ratios)
    return red, green, blue
