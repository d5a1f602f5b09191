"""The detector ``onnx-moderation``: pornographic images."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from retinue_sdk import Detection, Json

from retinue_onnx.detector import OnnxDetector
from retinue_onnx.options import OnnxOptions

if TYPE_CHECKING:
    from retinue_onnx.layout import Network
    from retinue_onnx.letterbox import Placement
    from retinue_onnx.session import OnnxSession


class OnnxModerationOptions(OnnxOptions):
    """Options of ``onnx-moderation``."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Minimum confidence, 0 to 1. The model's authors call an image safe below 0.2 and unsafe above
    0.8.
    """


class OnnxModerationDetector(OnnxDetector[OnnxModerationOptions, float | None]):
    """Finds pornographic images, but no other unsafe content: Open-NSFW."""

    name: ClassVar[str] = "onnx-moderation"
    version: ClassVar[str] = "1"
    bundled_model: ClassVar[str] = "open-nsfw.onnx"

    def _layout(self, session: "OnnxSession") -> "Network[float | None]":
        from retinue_onnx.open_nsfw import SIDE_PX, OpenNsfw

        session.require("Open-NSFW", (SIDE_PX, SIDE_PX), {"probabilities": (2,)})
        return OpenNsfw()

    def _detections(
        self,
        found: float | None,
        placement: "Placement",  # noqa: ARG002 - the label has no position
    ) -> list[Detection]:
        """Return the label of Amazon Rekognition's taxonomy that has the same meaning."""
        if found is None:
            return []
        taxonomy: dict[str, Json] = {"ParentName": "", "TaxonomyLevel": 1}
        return [Detection("moderation", "Explicit", min(found, 1.0), attributes=taxonomy)]
