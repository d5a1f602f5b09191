"""A detector that passes every check. Each failing detector differs from it in one way."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import Field
from retinue_sdk import (
    BoundingBox,
    Capabilities,
    Detection,
    Detector,
    DetectorError,
    DetectorNotReadyError,
    DetectorOptions,
    Findings,
    Image,
    Input,
    Json,
    Operational,
    Result,
)

if TYPE_CHECKING:  # every worker of a test loads these plugins, and few need NumPy
    from retinue_sdk import Pixels


class ConformingOptions(DetectorOptions):
    """The options of a conforming detector."""

    contrast: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Minimum difference from the mean brightness, 0 to 1."""
    max_batch_size: Annotated[int, Field(ge=1, le=256), Operational()] = 4
    """Maximum number of images in a call."""


ConformingOptionsT = TypeVar("ConformingOptionsT", bound=ConformingOptions)


class ConformingBase(Detector[ConformingOptionsT], Generic[ConformingOptionsT]):
    """Finds the brightest part of a picture correctly."""

    version: ClassVar[str] = "1"

    def __init__(self, options: ConformingOptionsT) -> None:
        super().__init__(options)
        self.ready = False

    @property
    def capabilities(self) -> Capabilities:
        """Declare pixels, batches, two threads and a price."""
        return Capabilities(
            Input.PIXELS,
            max_batch_size=self.options.max_batch_size,
            max_concurrency=2,
            usd_per_unit=Decimal("0.001"),
        )

    def start(self) -> None:
        """Set the state to started."""
        self.ready = True

    def close(self) -> None:
        """Set the state to stopped."""
        self.ready = False

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Return a result for each image."""
        if not self.ready:
            raise DetectorNotReadyError("not started")
        return [self.answer(image) for image in images]

    def answer(self, image: Image) -> Result:
        """Return the findings, or the image's error."""
        try:
            return self.look(image)
        except DetectorError as error:
            return error

    def look(self, image: Image) -> Findings:
        """Return the brightest part."""
        return self.findings(self.see(image))

    def see(self, image: Image) -> "Pixels":
        """Return the image as displayed."""
        return image.pixels()

    def findings(self, pixels: "Pixels") -> Findings:
        """Return a box around everything brighter than the middle between mean and maximum."""
        grey = pixels.mean(axis=2) / 255
        mean, most = float(grey.mean()), float(grey.max())
        if most - mean < self.options.contrast:
            return Findings(raw_response=self.response(mean), billed_units=self.units())
        rows, columns = (grey >= (mean + most) / 2).nonzero()
        left, right = int(columns.min()), int(columns.max()) + 1
        top, bottom = int(rows.min()), int(rows.max()) + 1
        box = self.box((left, top, right, bottom), (grey.shape[1], grey.shape[0]))
        found = Detection("bright_part", "Light", min(most - mean, 1.0), box)
        return Findings((found,), raw_response=self.response(mean), billed_units=self.units())

    def box(self, edges: tuple[int, int, int, int], size: tuple[int, int]) -> BoundingBox:
        """Return edges in pixels as ratios."""
        return BoundingBox.from_edges(*edges, width=size[0], height=size[1])

    def response(self, mean: Any) -> Json:
        """Return the measured values."""
        return {"mean": mean}

    def units(self) -> Decimal:
        """Return the billed units of an image."""
        return Decimal(1)


class Conforming(ConformingBase[ConformingOptions]):
    """Finds the brightest part of an image correctly."""

    name: ClassVar[str] = "conforming"
