"""Find objects with a torchvision model."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

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
    Pixels,
    Result,
    RetriableError,
)


class TorchObjectsOptions(DetectorOptions):
    """Threshold, device and batch size."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Minimum confidence of a detection, 0 to 1."""

    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$"), Operational()] = "cpu"
    """Device that runs the model."""

    max_batch_size: Annotated[int, Field(ge=1, le=64), Operational()] = 4
    """Maximum number of images in one call."""


class TorchObjects(Detector[TorchObjectsOptions]):
    """Finds objects with Faster R-CNN."""

    name: ClassVar[str] = "torch-objects"
    version: ClassVar[str] = "1"

    def __init__(self, options: TorchObjectsOptions) -> None:
        """Load the model in ``start``, not here."""
        super().__init__(options)
        self._model: Any = None
        self._names: list[str] = []

    @property
    def capabilities(self) -> Capabilities:
        """Ask for pixels, one batch at a time: PyTorch has its own threads."""
        return Capabilities(Input.PIXELS, max_batch_size=self.options.max_batch_size)

    def start(self) -> None:
        """Load the model. Without ``eval()``, results would differ between calls."""
        from torchvision.models import detection

        weights = detection.FasterRCNN_ResNet50_FPN_V2_Weights.DEFAULT
        self._names = weights.meta["categories"]
        model = detection.fasterrcnn_resnet50_fpn_v2(weights=weights)
        self._model = model.eval().to(self.options.device)

    def close(self) -> None:
        """Release the model."""
        self._model = None

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Run the model on all readable images together."""
        if self._model is None:
            raise DetectorNotReadyError("not started, or closed")
        results: dict[int, Result] = {}
        readable: dict[int, Pixels] = {}
        for index, image in enumerate(images):
            try:
                readable[index] = image.pixels()
            except DetectorError as error:
                results[index] = error
        for index, output in zip(readable, self._run(list(readable.values())), strict=True):
            results[index] = self._findings(output, readable[index])
        return [results[index] for index in range(len(images))]

    def _run(self, pictures: list[Pixels]) -> list[dict[str, Any]]:
        import torch

        tensors = [
            torch.from_numpy(picture.copy()).permute(2, 0, 1).to(self.options.device) / 255
            for picture in pictures  # copy: the array is shared and read-only
        ]
        try:
            with torch.inference_mode():  # otherwise gradients fill the memory
                outputs = self._model(tensors) if tensors else []
        except torch.cuda.OutOfMemoryError as error:
            raise RetriableError("GPU memory is full; lower max_batch_size") from error
        return [{name: value.cpu() for name, value in output.items()} for output in outputs]

    def _findings(self, output: dict[str, Any], pixels: Pixels) -> Findings:
        height, width = pixels.shape[:2]
        found = tuple(
            Detection(
                "label",
                self._names[int(label)],
                float(score),
                BoundingBox.from_edges(*map(float, box), width=width, height=height),
            )
            for box, label, score in zip(
                output["boxes"], output["labels"], output["scores"], strict=True
            )
            if score >= self.options.threshold
        )
        return Findings(found)
