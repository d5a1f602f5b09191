"""Find objects with a model from the Hugging Face Hub."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from PIL import Image as Pillow
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
    Operational,
    Result,
)


class HubObjectsOptions(DetectorOptions):
    """The model, its threshold and its device."""

    model: str = "facebook/detr-resnet-50"
    """Name on the Hub, or a folder."""

    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    """Commit of the model. A branch could change without a new fingerprint."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Minimum confidence of a detection, 0 to 1."""

    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$"), Operational()] = "cpu"
    """Device that runs the model."""


class HubObjects(Detector[HubObjectsOptions]):
    """Finds objects with a transformers pipeline."""

    name: ClassVar[str] = "hub-objects"
    version: ClassVar[str] = "1"
    capabilities = Capabilities(Input.PIXELS)

    def __init__(self, options: HubObjectsOptions) -> None:
        """Load the model in ``start``, not here."""
        super().__init__(options)
        self._pipeline: Any = None

    @property
    def model_version(self) -> str:
        """Model and commit, stored with every run."""
        return f"{self.options.model}@{self.options.revision[:12]}"

    def start(self) -> None:
        """Load the model. If the Hub is unavailable, the worker tries again later."""
        from transformers import pipeline

        try:
            self._pipeline = pipeline(
                "object-detection",
                model=self.options.model,
                revision=self.options.revision,
                device=self.options.device,
            )
        except OSError as error:
            raise DetectorNotReadyError(f"cannot load the model: {error}") from error

    def close(self) -> None:
        """Release the model."""
        self._pipeline = None

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Run the pipeline on each image."""
        if self._pipeline is None:
            raise DetectorNotReadyError("not started, or closed")
        return [self._answer(image) for image in images]

    def _answer(self, image: Image) -> Result:
        try:
            picture = Pillow.fromarray(image.pixels())
        except DetectorError as error:
            return error
        found = self._pipeline(picture, threshold=self.options.threshold)
        return Findings(tuple(_detection(one, picture) for one in found))


def _detection(found: dict[str, Any], picture: Pillow.Image) -> Detection:
    """Return a detection. The pipeline's boxes are edges in pixels."""
    edges = (found["box"][name] for name in ("xmin", "ymin", "xmax", "ymax"))
    box = BoundingBox.from_edges(*edges, width=picture.width, height=picture.height)
    return Detection("label", found["label"], float(found["score"]), box)
