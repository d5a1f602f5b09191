"""A detector that passes every check: what the failing ones differ from in one thing each."""

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
    """What can be set about a conforming detector."""

    contrast: Annotated[float, Field(ge=0, le=1)] = 0.1
    """How much brighter than the mean something must be, 0 to 1."""
    max_batch_size: Annotated[int, Field(ge=1, le=256), Operational()] = 4
    """Most images in one call."""


ConformingOptionsT = TypeVar("ConformingOptionsT", bound=ConformingOptions)


class ConformingBase(Detector[ConformingOptionsT], Generic[ConformingOptionsT]):
    """Finds the brightest part of a picture, properly."""

    version: ClassVar[str] = "1"

    def __init__(self, options: ConformingOptionsT) -> None:
        """Not started yet."""
        super().__init__(options)
        self.ready = False

    @property
    def capabilities(self) -> Capabilities:
        """Pixels, in batches, on two threads, for a price."""
        return Capabilities(
            Input.PIXELS,
            max_batch_size=self.options.max_batch_size,
            max_concurrency=2,
            usd_per_unit=Decimal("0.001"),
        )

    def start(self) -> None:
        """Be ready."""
        self.ready = True

    def close(self) -> None:
        """Be ready no more."""
        self.ready = False

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Look at each image by itself."""
        if not self.ready:
            raise DetectorNotReadyError("not started")
        return [self.answer(image) for image in images]

    def answer(self, image: Image) -> Result:
        """Findings, or the image's own error."""
        try:
            return self.look(image)
        except DetectorError as error:
            return error

    def look(self, image: Image) -> Findings:
        """The brightest part."""
        return self.findings(self.see(image))

    def see(self, image: Image) -> "Pixels":
        """The image as it is displayed."""
        return image.pixels()

    def findings(self, pixels: "Pixels") -> Findings:
        """One box around everything brighter than the middle between mean and brightest."""
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
        """Edges in pixels as ratios."""
        return BoundingBox.from_edges(*edges, width=size[0], height=size[1])

    def response(self, mean: Any) -> Json:
        """Return what was measured."""
        return {"mean": mean}

    def units(self) -> Decimal:
        """Return what is billed for an image."""
        return Decimal(1)


class Conforming(ConformingBase[ConformingOptions]):
    """Finds the brightest part of an image correctly."""

    name: ClassVar[str] = "conforming"
